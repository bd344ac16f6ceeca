"""The answers first: what people ask of a report, answered in sentences whose every figure comes from the frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from bench.report.results import Results
from bench.report.sentences import Answer, Finding
from bench.report.topics import (
    accuracy,
    architectures,
    explain,
    gaps,
    kernels,
    low_data,
    numerics,
    parity,
    roofline,
    speed,
)


def answers(results: Results, elsewhere: Mapping[str, Results] | None = None) -> list[Answer]:
    """Return every question that the results, or their absence, say something to, in the order in which it is read.

    `elsewhere` are the results of neighbouring folders of the same machine, by name, to which the answers may refer.
    """
    asked: list[tuple[str, Callable[[Results], list[Finding]]]] = [
        ("Which architecture is best, and at what cost?", architectures.answer),
        ("Which backend is faster, and by how much?", partial(speed.answer, elsewhere=elsewhere or {})),
        ("Do fused kernels pay?", kernels.answer),
        ("Did the documented figures hold?", accuracy.documented if results.documented else accuracy.embedded),
        ("Which documented figures could not be measured?", gaps.unmeasured),
        ("What does a pre-trained embedding buy?", low_data.answer),
        ("What did Keras 3 change?", numerics.answer),
        ("What do the frameworks' own defaults change?", explain.answer),
        ("How much of the machine is used?", roofline.answer),
        ("Do the backends train the same model?", parity.answer_twins),
        ("Did the kernels run that were claimed?", kernels.claims),
        ("What is missing?", gaps.answer),
    ]
    found = [Answer(question, tuple(answer(results))) for question, answer in asked]
    return [answer for answer in found if answer.findings]
