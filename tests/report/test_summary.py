"""The last screen of a run: its size, what its sentences may say of the figures, and what it leads on to."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace as replace_of
from itertools import pairwise
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from scipy import stats

from bench.records.record import Record, essential
from bench.report import summary as module
from bench.report.results import Results
from bench.report.summary import COLUMNS, LINES
from bench.spec import LSTM, Dense, Embedded, Embedding, Flatten, RandomRows, Training
from tests.making import case, make_record, make_results, name, suite

KERAS, TORCH = "keras-tensorflow", "torch"
FILE = Path("reports/local/README.md")


def summary(results: Results, files: Sequence[Path] = ()) -> list[str]:
    """Return the summary, after a look at whether the essential parts of the records give the same."""
    lines = module.summary(results, files)
    sources = [replace_of(source, records=tuple(map(essential, source.records))) for source in results.sources]
    assert module.summary(replace_of(results, sources=tuple(sources)), files) == lines
    return lines


def timed(record: Record, *seconds: float, width: int = 8) -> Record:
    """Return a record whose pairs of windows give these seconds of a step, beside a cost per call."""
    assert record.timing
    windows = [(steps, 0.01 + steps * step) for step in seconds for steps in (width, 2 * width)]
    return replace(record, timing=replace(record.timing, windows=windows, step=sorted(seconds)[len(seconds) // 2]))


def cell(case_name: str, backend: str, accuracy: float = 0.8, *steps: float, **changes: Any) -> Record:
    fields = {"test": accuracy, "epoch_seconds": [2.0, 1.0], "counts": [400], "alone": False, "measure": "glance"}
    record = make_record(name(case_name, backend), **{"profile": "quick", **fields, **changes})
    return timed(record, *steps) if steps else record


def both(case_name: str, keras: Sequence[float], torch: Sequence[float]) -> list[Record]:
    return [cell(case_name, KERAS, 0.8, *keras), cell(case_name, TORCH, 0.8, *torch)]


def results_of(records: Sequence[Record], *more: Any, **changes: Any) -> Results:
    names = dict.fromkeys(record.case for record in records)
    return make_results([suite(*map(case, names), *more)], records, **changes)


def row(lines: Sequence[str], case_name: str) -> list[str]:
    (found,) = [line for line in lines if line.startswith(f"demo/{case_name} ")]
    return found.split()[1:]


def sentence(lines: Sequence[str], *starts: str) -> str:
    """Return the line that begins so, with those that go on with it."""
    (place,) = [number for number, line in enumerate(lines) if line.startswith(starts)]
    end = next(number for number in range(place + 1, len(lines)) if not lines[number].startswith("  "))
    return " ".join(line.strip() for line in lines[place:end])


@pytest.mark.parametrize(
    "backends", [[TORCH], [KERAS, TORCH], [KERAS, TORCH, "keras-jax", "keras-torch", "torch-compile"]]
)
@pytest.mark.parametrize("cases", [1, 24, 60])
@pytest.mark.parametrize("fails", [False, True])
def test_whatever_ran_it_is_one_screen(backends: list[str], cases: int, fails: bool) -> None:
    records = [
        cell(f"a-case-with-a-long-name-{i}", backend, 0.7, 0.1, 0.11) for i in range(cases) for backend in backends
    ]
    if fails:
        for i in range(20):
            failed = {"status": "failed", "reason": f"ValueError: {i} {'went wrong ' * 20}"}
            absent = {"status": "unavailable", "reason": f"data-{i} is missing: no file in a folder; look for it"}
            records += [cell(f"f{i}", TORCH, **failed), cell(f"u{i}", TORCH, **absent)]
    lines = summary(results_of(records), [FILE])
    assert len(lines) <= LINES == 45
    assert max(map(len, lines)) <= COLUMNS == 100
    assert "\x1b" not in "".join(lines)
    assert len(row(lines, "a-case-with-a-long-name-0")) >= 3
    rows = [line for line in lines if line.startswith("demo/a-case")]
    assert len(rows) >= min(cases, 15)
    left_out = [int(found[1]) for line in lines if (found := re.match(r"and .*?(\d+) cases", line))]
    shown = [line for line in lines if line.startswith("demo/")]
    assert len(shown) + sum(left_out) == cases


def test_backends_without_room_are_named() -> None:
    backends = [KERAS, TORCH, "keras-jax", "keras-torch", "torch-compile"]
    lines = summary(results_of([cell("a-case-with-a-long-name", backend, 0.7, 0.1) for backend in backends]), [FILE])
    heads = next(above for above, line in pairwise(lines) if line.startswith("case "))
    (left_out,) = [line for line in lines if line.startswith("and ")]
    assert {*heads.split(), *re.split(r"[ ,:]+", left_out)} >= {*backends}
    assert str(FILE) in left_out


def test_accuracies_agree_up_to_half_a_point() -> None:
    gaps = {"same": 0.0, "half": 0.005, "more": -0.011}
    records = [cell(each, KERAS, 0.731) for each in gaps] + [
        cell(each, TORCH, 0.731 + gap) for each, gap in gaps.items()
    ]
    said = sentence(summary(results_of(records)), "Same model")
    assert "2 of 3" in said
    assert "1.1 points" in said
    assert "demo/more" in said


def test_several_seeds_are_compared_seed_by_seed_and_means_are_shown() -> None:
    records = []
    for seed, (keras, torch) in enumerate([(0.70, 0.73), (0.80, 0.77)]):
        records += [
            make_record(name("a", KERAS, seed=seed), test=keras, profile="quick", measure="accuracy"),
            make_record(name("a", TORCH, seed=seed), test=torch, profile="quick", measure="accuracy"),
        ]
    lines = summary(results_of(records))
    assert "0.0 points" in sentence(lines, "Same model")
    assert row(lines, "a")[1:3] == ["75.0", "75.0"]


@pytest.mark.parametrize(
    ("keras", "torch", "winner", "factor"),
    [
        ((0.20, 0.21, 0.22), (0.10, 0.10, 0.11), "torch", "2.1x"),
        ((0.10, 0.10, 0.11), (0.20, 0.21, 0.22), "Keras on TensorFlow", "2.1x"),
        ((0.10, 0.20, 0.30), (0.09, 0.19, 0.29), None, None),
        ((0.100, 0.101, 0.102), (0.0985, 0.099, 0.0995), None, None),
    ],
)
def test_a_winner_is_named_only_where_ranges_leave_no_doubt(
    keras: Sequence[float], torch: Sequence[float], winner: str | None, factor: str | None
) -> None:
    said = sentence(summary(results_of(both("a", keras, torch))), "Faster", "Speed")
    if winner and factor:
        assert re.search(rf": {winner}, {factor} ", said)
    else:
        assert not re.search(r"\d x|\dx", said)


def test_most_cases_decide() -> None:
    clear = both("a", (0.2, 0.2, 0.2), (0.1, 0.1, 0.1)) + both("b", (0.3, 0.3, 0.3), (0.1, 0.1, 0.1))
    doubtful = both("c", (0.1, 0.2, 0.3), (0.1, 0.2, 0.3)) + both("d", (0.1, 0.2, 0.3), (0.1, 0.2, 0.3))
    assert "x Keras" in sentence(summary(results_of(clear + doubtful[:2])), "Faster")
    assert "x Keras" not in sentence(summary(results_of(clear + doubtful)), "Faster")


def test_the_range_is_that_of_the_windows_of_both() -> None:
    lines = summary(results_of(both("a", (0.20, 0.24, 0.22), (0.10, 0.12, 0.11))))
    assert row(lines, "a")[-2:] == ["2.0", "(1.7-2.4)"]  # 0.22/0.11; 0.20/0.12, 0.24/0.10


def test_windows_that_a_busy_machine_turned_round_name_no_winner() -> None:
    lines = summary(results_of(both("a", (0.2, -0.1, 0.2), (0.1, 0.1, 0.1))))
    assert row(lines, "a")[-1] == "(unclear)"
    assert "x Keras" not in sentence(lines, "Faster")


@pytest.mark.parametrize(("noise", "named"), [(None, True), (0.3, True), (1.5, False)])
def test_a_factor_within_the_noise_names_no_winner(noise: float | None, named: bool) -> None:
    records = both("a", (0.20, 0.21, 0.22), (0.10, 0.10, 0.11))
    noisy = [replace(each, timing=replace(each.timing, noise=noise)) for each in records if each.timing]
    lines = summary(results_of(noisy))
    assert ("x Keras" in sentence(lines, "Faster")) == named
    assert bool([line for line in lines if "Noisy" in line]) == (noise is not None)


def test_of_several_processes_it_is_the_interval() -> None:
    keras, torch = (0.20, 0.21, 0.23), (0.10, 0.12, 0.11)
    records = [
        timed(
            make_record(name("a", backend), repeat=number, epoch_seconds=[1.0], measure="steps", profile="quick"), step
        )
        for backend, steps in ((KERAS, keras), (TORCH, torch))
        for number, step in enumerate(steps)
    ]
    welch = stats.ttest_ind([log(step) for step in keras], [log(step) for step in torch], equal_var=False)
    low, high = (exp(bound) for bound in welch.confidence_interval())
    lines = summary(results_of(records))
    assert row(lines, "a")[-1] == f"({low:.1f}-{high:.1f})"
    assert "CI" in next(line for line in lines if line.startswith("case"))


def test_no_factor_comes_from_accuracy_runs() -> None:
    records = [
        cell("a", backend, measure="accuracy", epoch_seconds=[1.0, seconds])
        for backend, seconds in ((KERAS, 4.0), (TORCH, 1.0))
    ]
    lines = summary(results_of(records))
    assert row(lines, "a") == ["400", "80.0", "80.0", "4.00", "1.00"]
    assert not [line for line in lines if re.search(r"faster|\dx|fast ", line, re.IGNORECASE)]


def test_samples_of_rows_stand_in_one_line() -> None:
    data = Embedded(num_words=50, maxlen=10)
    other = (Embedding(50, 8), LSTM(4), Dense(1, "sigmoid"))
    flat = (Embedding(50, 50), Flatten(), Dense(1, "sigmoid"))
    cases = [
        case(
            f"{kind}-{rows}",
            layers=layers,
            data=data,
            training=Training("adam", epochs=2, validation=RandomRows(train=rows)),
        )
        for rows in (200, 500, 1000)
        for kind, layers in (("glove", other), ("learned", flat))
    ]
    records = [
        cell(each.name, backend, 0.6 + 0.1 * (each.name == "glove-500" and backend == TORCH))
        for each in cases
        for backend in (KERAS, TORCH)
    ]
    lines = summary(
        make_results([suite(case("plain"), *cases)], [*records, cell("plain", KERAS), cell("plain", TORCH)])
    )
    (line,) = [line for line in lines if "glove" in line and "points" not in line]
    assert re.findall(r"[\d,]*\d", line) == ["200", "1,000", "6", "5"]
    assert row(lines, "plain")
    alone = [record for record in records if record.case in ("glove-200", "learned-200")]
    assert row(summary(make_results([suite(*cases)], alone)), "glove-200"), "one size is shown as any case"


def test_what_is_missing_comes_last_failures_first_each_with_its_command() -> None:
    records = [
        cell("fine", TORCH),
        cell("gone", TORCH, status="unavailable", reason="requires a GPU; use --device cuda"),
        cell("no-file", TORCH, status="unavailable", reason="vectors are missing: no v.bin in a folder; put it there"),
        cell("broken", TORCH, status="failed", reason="ValueError: no"),
    ]
    lines = summary(results_of(records), [FILE])
    failed = next(number for number, line in enumerate(lines) if "ValueError: no" in line)
    assert shlex.split(lines[failed + 1]) == ["bench", "run", "--resume", "run0", str(records[3].cell)]
    assert failed > lines.index(next(line for line in lines if line.startswith("demo/fine")))
    missing = sentence(lines, "Not run")
    assert "demo/gone (requires a GPU: use --device cuda)" in missing
    assert "bench data list" in missing
    assert lines.index(next(line for line in lines if line.startswith("Not run"))) == failed + 2
    assert str(FILE) in lines[lines.index("", failed) + 1]


def test_cases_that_were_not_started_are_named_with_the_command_that_goes_on() -> None:
    lines = summary(make_results([suite(case("a"), case("b"))], [cell("a", TORCH)]))
    place = next(number for number, line in enumerate(lines) if "demo/b" in line)
    assert shlex.split(lines[place + 1]) == ["bench", "run", "--resume", "run0"]


def test_native_numerics_are_not_called_the_same_model() -> None:
    records = [
        make_record(name("a", backend, numerics="native"), test=0.7, profile="quick", measure="accuracy")
        for backend in (KERAS, TORCH)
    ]
    lines = summary(results_of(records))
    assert not [line for line in lines if "Same model" in line]
    assert [line for line in lines if "1 of 1" in line]


def test_without_a_test_set_validation_counts_and_without_a_reason_the_end_of_the_traceback() -> None:
    validated = [make_record(name("a", backend), val=[0.5, 0.7], profile="quick") for backend in (KERAS, TORCH)]
    broken = make_record(name("b"), status="failed", traceback="Traceback\nOSError: the disk is gone", profile="quick")
    lines = summary(results_of([*validated, broken]))
    assert row(lines, "a")[1:3] == ["70.0", "70.0"]
    assert any("OSError: the disk is gone" in line for line in lines)


def test_where_nothing_ended_ok_only_that_is_said() -> None:
    lines = summary(results_of([cell("a", TORCH, status="failed", reason="ValueError: no")]))
    assert "0 of 1" in lines[0]
    assert not [line for line in lines if "case " in line and "parameters" in line]
