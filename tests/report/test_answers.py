"""The sentences: their figures are those of the records, and they say as much as the records allow, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.record import Cost, Record
from bench.report import reasons
from bench.report.answers import answers
from bench.report.tables import Results
from bench.spec import (
    KERAS_2_0,
    LSTM,
    Case,
    Dense,
    Documented,
    Embedding,
    Flatten,
    Imdb,
    Score,
    SimpleRNN,
    Suite,
    Training,
    Word2Vec,
)

Maker = Callable[..., Record]
Gather = Callable[..., Results]

DATA = Imdb(num_words=50, maxlen=10)
FLAT = (Embedding(50, 300), Flatten(), Dense(1, "sigmoid"))
FROZEN = (Embedding(50, 300, vectors=Word2Vec(), trainable=False), *FLAT[1:])
TRAINING = Training("rmsprop", epochs=2)


def net(recurrent: Any) -> tuple[Any, ...]:
    return (Embedding(50, 8), recurrent, Dense(1, "sigmoid"))


def case(name: str, layers: Any = FLAT, accuracy: float | None = None, **changes: Any) -> Case:
    documented = Documented(test=None if accuracy is None else Score(accuracy=accuracy), **changes)
    return Case(name, data=DATA, layers=layers, training=TRAINING, documented=documented)


def suite(*cases: Case) -> Suite:
    return Suite("demo", document="7", title="A document", era=KERAS_2_0, cases=cases)


def name(
    case_name: str, backend: str = "torch", kernel: str = "none", seed: int = 0, numerics: str = "documented"
) -> str:
    return f"demo/{case_name}@{backend},{kernel},cpu,{numerics}#{seed}"


def found(results: Results, question: str) -> list[str]:
    """Return the findings on the question that begins so, each as one text."""
    answer = [one for one in answers(results) if one.question.startswith(question)]
    assert len(answer) <= 1
    return [f"{finding.lead}: {finding.text}" for one in answer for finding in one.findings]


# --- architectures -----------------------------------------------------------------------------------------------


def test_the_best_architecture_is_named_with_its_cost_under_every_backend(record: Maker, results: Gather) -> None:
    declared = suite(case("flat"), case("lstm", net(LSTM(4))))
    times = {"flat": (0.70, 1.0), "lstm": (0.80, 6.0)}
    records = [
        record(
            name(one, backend, "none" if one == "flat" else "generic"),
            test=accuracy,
            val=[0.5] * 2,
            epoch_seconds=[9, seconds * factor],
        )
        for one, (accuracy, seconds) in times.items()
        for backend, factor in (("torch", 1), ("keras-tensorflow", 2))
    ]
    (text,) = found(results([declared], records), "Which architecture")
    assert text.startswith(
        "demo: lstm: 80.00 % (1 seed) in 12 s of training with torch (generic); 80.00 % (1 seed) in 24 s"
    )
    assert "(2,000 test rows)" in text
    assert text.endswith("Next: flat, 70.00 % (1 seed) in 2 s of training with torch.")


def test_a_cheaper_architecture_within_a_point_is_an_alternative_and_a_slightly_cheaper_one_is_not(
    record: Maker, results: Gather
) -> None:
    def said(seconds: float) -> str:
        records = [
            record(name("dear"), test=0.800, val=[0.5] * 2, epoch_seconds=[9, 10]),
            record(name("near"), test=0.791, val=[0.5] * 2, epoch_seconds=[9, seconds]),
        ]
        return found(results([suite(case("dear"), case("near", net(LSTM(4))))], records), "Which architecture")[0]

    assert "Within a point of it and cheaper: near" in said(7.9)
    assert "Next: near" in said(8.1)


# --- speed -------------------------------------------------------------------------------------------------------


def speed(results: Gather, record: Maker, seconds: dict[str, list[float]], layers: Any = FLAT) -> list[str]:
    """Return what is said of one case with steady epochs `seconds` by backend."""
    kernel = "none" if layers is FLAT else "generic"
    records = [
        record(name("a", backend, kernel), measure="timing", epoch_seconds=[99, *epochs])
        for backend, epochs in seconds.items()
    ]
    return found(results([suite(case("a", layers))], records), "Which backend")


def test_the_faster_backend_is_named_by_kind_of_layer_with_factor_and_spread(record: Maker, results: Gather) -> None:
    (text,) = speed(results, record, {"keras-tensorflow": [4, 4, 5], "torch": [2, 2, 2.5]}, net(LSTM(4)))
    assert text.startswith("LSTM on a CPU: torch, 2.0 times as fast as keras-tensorflow: ")
    assert "an epoch takes 2 s against 4 s: 2.0 times as fast (range of epochs 1.6 to 2.5, 1 process each" in text
    assert "generic against generic kernel" in text
    (text,) = speed(results, record, {"keras-tensorflow": [2, 2], "torch": [4, 4]}, net(SimpleRNN(4)))
    assert text.startswith("SimpleRNN on a CPU: keras-tensorflow: ")


@pytest.mark.parametrize(
    ("keras", "torch", "winner"),
    [
        ([1.04], [1.0], "not clear from these times"),
        ([1.06], [1.0], "torch"),
        ([0.94], [1.0], "keras-tensorflow"),
        ([3.0, 3.0, 0.9], [1.0, 1.0, 1.0], "not clear from these times"),
    ],
)
def test_nobody_wins_by_less_than_five_per_cent_or_where_the_spread_holds_both(
    keras: list[float], torch: list[float], winner: str, record: Maker, results: Gather
) -> None:
    (text,) = speed(results, record, {"keras-tensorflow": keras, "torch": torch})
    assert text.partition(": ")[2].startswith(winner)


def test_of_more_than_two_backends_the_fastest_is_named_and_each_is_compared(record: Maker, results: Gather) -> None:
    (text,) = speed(results, record, {"keras-tensorflow": [4, 4], "torch": [2, 2], "keras-jax": [1, 1]})
    assert text.startswith("No recurrent layer on a CPU: keras-jax: ")
    assert (
        "Times as fast as keras-tensorflow in the median (least to most; faster in): keras-jax 4.0 (4.0 times;" in text
    )
    assert "torch 2.0 (2.0 times; 1 of 1 case)" in text
    assert "An epoch of demo/a: keras-tensorflow 4 s, keras-jax 1 s (4.0 to 4.0), torch 2 s (2.0 to 2.0)" in text


def test_kernels_are_compared_where_both_ran(record: Maker, results: Gather) -> None:
    records = [
        record(name("a", kernel=kernel), measure="timing", epoch_seconds=[99, seconds, seconds])
        for kernel, seconds in (("fused", 2), ("generic", 5))
    ]
    (text,) = found(results([suite(case("a", net(LSTM(4))))], records), "Do fused kernels")
    assert text == "torch on a CPU, fused over generic kernel: demo/a 2.5 times (2.5 to 2.5, range of epochs)."


# --- documented figures ------------------------------------------------------------------------------------------

MEASURED = [0.7301, 0.7344, 0.7290, 0.7367, 0.7312]


def test_a_figure_outside_is_told_with_its_reason_and_without_one_as_unknown(
    record: Maker, results: Gather, tmp_path: Path
) -> None:
    records = [record(name("a", seed=seed), test=value) for seed, value in enumerate(MEASURED)]
    gathered = results([suite(case("a", accuracy=0.75))], records, seeds=5)
    counts, outside = found(gathered, "Did the documented")
    assert counts.startswith("Inside the 95 % prediction interval of the measured runs: 0 of 1 under torch")
    half = stats.t.ppf(0.975, 4) * np.std(MEASURED, ddof=1) / np.sqrt(5)
    mean = np.mean(MEASURED)
    assert f"documented 75.00 % (test), measured {100 * mean:.2f} ± {100 * half:.2f} % (" in outside
    assert f"({100 * (mean - 0.75):+.2f} points, 5 seeds) under torch. Why is not known." in outside
    (tmp_path / "deviations.md").write_text("# Why\n\n## demo/a: the print is wrong, see `it`.\n\nBecause.\n")
    explained = replace(gathered, reasons=reasons.load(tmp_path))
    (finding,) = (
        finding for answer in answers(explained) for finding in answer.findings if finding.lead.startswith("Outside")
    )
    assert finding.text.endswith("The print is wrong, see `it`.")
    assert finding.see == (("why", "deviations.md#demoa-the-print-is-wrong-see-it"),)


def test_a_documented_figure_that_was_not_run_says_why_and_what_ran_instead(record: Maker, results: Gather) -> None:
    declared = suite(case("frozen", FROZEN, 0.78), case("learned", FLAT, 0.80), case("idle", net(LSTM(4)), 0.9))
    missing = "vectors.bin is missing: no vectors.bin in /somewhere; it has no stand-in"
    records = [record(name("frozen"), status="unavailable", reason=missing, data=None)]
    records += [record(name("learned", seed=seed), test=value) for seed, value in enumerate(MEASURED)]
    frozen, idle = found(results([declared], records, seeds=5), "Which documented figures could not")
    assert frozen.startswith(
        "demo/frozen, document 7: not run: Whether 78.00 % (test) holds is not known: vectors.bin is missing."
    )
    assert f"Run instead: learned, the same net learning its embedding, {100 * np.mean(MEASURED):.2f} ±" in frozen
    assert frozen.endswith("over 5 seeds under torch (documented 80.00 %).")
    assert "/somewhere" not in frozen
    assert idle == "demo/idle, document 7: not run: Whether 90.00 % (test) holds is not known: it has not been run."


# --- Keras 3 -----------------------------------------------------------------------------------------------------


def test_changed_formulas_are_counted_and_their_effect_is_measured_or_not_run(record: Maker, results: Gather) -> None:
    declared = suite(case("flat"), case("lstm", net(LSTM(4)), 0.80))
    documented = [record(name("lstm", kernel="generic", seed=s), test=value) for s, value in enumerate([0.80, 0.82])]
    formulas, effect = found(results([declared], documented), "What did Keras 3")
    assert "RMSprop's epsilon moved inside the root (2 cases)" in formulas
    assert "no longer piecewise linear (1 case)" in formulas
    assert effect.startswith("What that does to accuracies: not run")
    matched = [
        record(name("lstm", kernel="generic", seed=s, numerics="matched"), test=value)
        for s, value in enumerate([0.76, 0.79])
    ]
    gathered = results([declared], [*documented, *matched])
    _, effect = found(gathered, "What did Keras 3")
    assert effect.startswith(
        "demo/lstm with Keras 3's formulas: 77.50 % where the documents' formulas give 81.00 % (-3.50 ±"
    )
    assert effect.endswith("2 paired seeds) under torch. Documented: 80.00 %.")
    assert not any("matched" in text or "77.50" in text for text in found(gathered, "Which architecture"))


def test_native_differences_are_told_apart_from_those_that_the_seeds_do_not_show(
    record: Maker, results: Gather
) -> None:
    values = {
        "documented": [0.80, 0.82, 0.81],
        "matched": [0.80, 0.82, 0.81],
        "native": [0.70, 0.72, 0.71],
        "native:init": [0.75, 0.77, 0.77],
        "native:order": [0.81, 0.80, 0.82],
    }
    records = [
        record(name("lstm", kernel="generic", seed=seed, numerics=numerics), test=value)
        for numerics, own in values.items()
        for seed, value in enumerate(own)
    ]
    gathered = results([suite(case("lstm", net(LSTM(4))))], records, explained=("explain/explain-demo-lstm.md",))
    (text,) = found(gathered, "What do the frameworks' own")
    (finding,) = (one for answer in answers(gathered) for one in answer.findings if "matched numerics" in one.text)
    assert finding.see == (("explained", "explain/explain-demo-lstm.md"),)
    assert text.startswith("demo/lstm under torch: against matched numerics: all together -10.00 ± ")
    assert "; init -4.67 ± " in text
    assert text.endswith("; not told from 0: order (3 paired seeds or more).")


def test_the_share_of_the_machine_is_that_of_the_roof(record: Maker, results: Gather) -> None:
    cost = Cost(flops=4e9, bytes=1e9, peak_flops=1e11, bandwidth=1e10)
    timed = record(name("a"), measure="timing", epoch_seconds=[9, 20, 20], steps=100, cost=cost)
    (text,) = found(results([suite(case("a"))], [timed]), "How much of the machine")
    # 4 FLOPs a byte at 10 GB/s allow 40 GFLOP/s; 4 GFLOP in a step of 0.2 s are 20.
    assert text == "torch on a CPU: 50 % of what the machine allows, in the median: Most on demo/a (50 %), over 1 case."
