"""The topics of a report, and the answers first: what people ask, in sentences whose every figure is of a frame."""

from __future__ import annotations

from collections.abc import Mapping

from bench.report.results import Results
from bench.report.sentences import Answer
from bench.report.topic import Topic
from bench.report.topics import (
    accuracy,
    architectures,
    curves,
    explain,
    gaps,
    kernels,
    low_data,
    numerics,
    parameters,
    parity,
    roofline,
    speed,
    timing,
)

TOPICS: tuple[Topic, ...] = (
    architectures.TOPIC,
    speed.TOPIC,
    kernels.FUSED,
    accuracy.TOPIC,
    curves.TOPIC,
    gaps.UNMEASURED,
    low_data.TOPIC,
    numerics.TOPIC,
    explain.TOPIC,
    explain.EXPLAINED,
    roofline.TOPIC,
    parity.TOPIC,
    timing.TOPIC,
    kernels.TOPIC,
    parameters.TOPIC,
    gaps.TOPIC,
)
"""In the order in which they are read: questions, pages and blocks alike."""


def answers(results: Results, elsewhere: Mapping[str, Results] | None = None) -> list[Answer]:
    """Return every question that the results, or their absence, say something to, in the order in which it is read.

    `elsewhere` are the results of neighbouring folders of the same machine, by name, to which the answers may refer.
    """
    found = [Answer(topic.question, tuple(topic.found(results, elsewhere or {}))) for topic in TOPICS if topic.question]
    return [answer for answer in found if answer.findings]
