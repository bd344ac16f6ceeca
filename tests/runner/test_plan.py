"""Which cells patterns and options select, in which order, and which of them are known not to run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.backends import registry
from bench.backends.registry import BackendInfo
from bench.cases.catalog import Catalog
from bench.errors import Unavailable, UsageError
from bench.runner.options import RunOptions
from bench.runner.plan import PlannedCell, plan
from bench.spec import (
    KERAS_3,
    LSTM,
    Case,
    Dense,
    Embedded,
    Embedding,
    GlobalAveragePooling1D,
    Imdb,
    Requires,
    Suite,
    Training,
)

FUSED = BackendInfo("fused", "nowhere", (), "fused", fused_cpu=("SimpleRNN", "LSTM", "GRU"))
LOOP = BackendInfo("loop", "nowhere", (), "loop")
ABSENT = BackendInfo("absent", "nowhere", ("no-such-distribution",), "absent")


def case(name: str, *middle: Any, **more: Any) -> Case:
    data = more.pop("data", Embedded(num_words=20, maxlen=4))
    layers = (Embedding(20, 2), *middle, Dense(1, "sigmoid"))
    return Case(name, data=data, layers=layers, training=Training("adam", epochs=1), **more)


CATALOG = Catalog(
    {
        "ours": Suite(
            "ours",
            document="none",
            title="Cases",
            era=KERAS_3,
            cases=(
                case("lstm", LSTM(3)),
                case("pool", GlobalAveragePooling1D()),
                case("lstm-dropped", LSTM(3, recurrent_dropout=0.1)),
                case("gpu", LSTM(3), requires=Requires("fused", "cuda")),
            ),
        )
    }
)


@pytest.fixture(autouse=True)
def _backends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "BACKENDS", {info.name: info for info in (LOOP, FUSED, ABSENT)})
    monkeypatch.setattr("bench.runner.plan.DEFAULT_BACKENDS", ("loop", "fused", "absent"))
    registry.backends.cache_clear()
    yield
    registry.backends.cache_clear()


def planned(*patterns: str, **options: Any) -> list[PlannedCell]:
    return plan(CATALOG, RunOptions(patterns=patterns, **options))


def names(*patterns: str, **options: Any) -> list[str]:
    return [str(cell.cell).removeprefix("ours/") for cell in planned(*patterns, **options)]


def test_bare_plan_is_every_case_on_the_installed_backends_with_their_best_kernel() -> None:
    assert names() == [
        "lstm@loop,generic,cpu,documented#0",
        "lstm@fused,fused,cpu,documented#0",
        "pool@loop,none,cpu,documented#0",
        "pool@fused,none,cpu,documented#0",
        "lstm-dropped@loop,generic,cpu,documented#0",
        "lstm-dropped@fused,generic,cpu,documented#0",
        "gpu@loop,fused,cpu,documented#0",
        "gpu@fused,fused,cpu,documented#0",
    ]


def test_every_case_is_run_with_one_seed_before_any_with_the_next() -> None:
    order = [
        (cell.cell.seed, cell.repeat, cell.cell.case) for cell in planned("ours/lstm", "ours/pool", seeds=2, repeats=2)
    ]
    assert order == [
        (seed, repeat, name) for seed in (0, 1) for repeat in (0, 1) for name in ("lstm", "lstm", "pool", "pool")
    ]


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("ours/lstm@fused", ["lstm@fused,fused,cpu,documented#0"]),
        ("*/lstm*@fused,*", ["lstm@fused,fused,cpu,documented#0", "lstm-dropped@fused,generic,cpu,documented#0"]),
        ("*/lstm@*,generic,*", ["lstm@loop,generic,cpu,documented#0", "lstm@fused,generic,cpu,documented#0"]),
        ("ours@fused,generic", ["lstm@fused,generic,cpu,documented#0", "lstm-dropped@fused,generic,cpu,documented#0"]),
        ("ours/lstm@loop,generic,cuda,matched#7", ["lstm@loop,generic,cuda,matched#7"]),
        ("ours/lstm@loop,*,*,native:init,bias#2", ["lstm@loop,generic,cpu,native:init,bias#2"]),
        ("ours/pool@[fl]*#3", ["pool@loop,none,cpu,documented#3", "pool@fused,none,cpu,documented#3"]),
    ],
)
def test_a_cell_pattern_names_options_and_leaves_the_rest_to_the_command_line(
    pattern: str, selected: list[str]
) -> None:
    assert names(pattern) == selected


def test_options_narrow_and_widen_the_matrix() -> None:
    assert names("ours/lstm", backends=("fused",), kernels=("fused", "generic"), numerics="matched") == [
        "lstm@fused,fused,cpu,matched#0",
        "lstm@fused,generic,cpu,matched#0",
    ]
    assert names("*", backends=("fused",), kernels=("none",)) == ["pool@fused,none,cpu,documented#0"]


def obstacles(*patterns: str, **options: Any) -> dict[str, tuple[str, bool] | None]:
    return {
        str(cell.cell): (cell.obstacle.reason, cell.asked_for(cell.obstacle.part)) if cell.obstacle else None
        for cell in planned(*patterns, **options)
    }


def test_what_cannot_run_stays_in_the_plan_with_its_reason() -> None:
    found = obstacles("ours/*", backends=("fused", "absent"))
    assert found["ours/lstm@fused,fused,cpu,documented#0"] is None
    reason = "no-such-distribution is not installed; in the checkout: pip install -c constraints.txt -e '.[absent]'"
    assert found["ours/lstm@absent,generic,cpu,documented#0"] == (reason, True)
    reason = "requires a GPU; use nox -s bench-gpu or --device cuda"
    assert found["ours/gpu@fused,fused,cpu,documented#0"] == (reason, False)


def test_native_numerics_that_no_backend_has_are_refused_and_not_run_as_others() -> None:
    cell = "ours/pool@fused,none,cpu,native:init,order#0"
    assert obstacles("ours/po*@fused,none,cpu,native:init,order") == {
        cell: ("fused has no init and no order difference: it runs as matched numerics do", True)
    }
    assert obstacles("ours/pool@fused,none,cpu,native")["ours/pool@fused,none,cpu,native#0"]
    assert obstacles("ours/pool@fused,none,cpu,matched") == {"ours/pool@fused,none,cpu,matched#0": None}


def test_an_obstacle_counts_when_its_part_or_the_case_was_named() -> None:
    reason = "no fused kernel: LSTM with recurrent_dropout 0.1"
    cell = "ours/lstm-dropped@fused,fused,cpu,documented#0"
    assert obstacles("*dropped", backends=("fused",), kernels=("fused",)) == {cell: (reason, True)}
    assert obstacles("*dropped@fused,fu*", backends=("fused",)) == {cell: (reason, False)}
    assert obstacles("ours/lstm-dropped@fused,fu*") == {cell: (reason, True)}
    assert obstacles("ours/gpu@fused")["ours/gpu@fused,fused,cpu,documented#0"][1]  # type: ignore[index]
    named = "ours/pool@fused,fused,cpu,documented#0"
    assert obstacles(named) == {named: ("kernel 'fused' needs a recurrent layer and the model has none", True)}


def test_missing_data_is_known_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    suite = Suite(
        "s", document="none", title="t", era=KERAS_3, cases=(case("imdb", GlobalAveragePooling1D(), data=Imdb(20, 4)),)
    )
    (cell,) = plan(Catalog({"s": suite}), RunOptions(backends=("fused",), profile="documented"))
    assert cell.obstacle is not None
    assert "imdb.npz" in cell.obstacle.reason
    (quick,) = plan(Catalog({"s": suite}), RunOptions(backends=("fused",)))
    assert quick.obstacle is None


def test_measured_seconds_stand_before_the_rough_formula() -> None:
    (cell,) = plan(CATALOG, RunOptions(patterns=("ours/lstm@fused",)), lambda _: 123.0)
    assert cell.estimate == 123.0
    (rough,) = planned("ours/lstm@fused")
    assert 0 < rough.estimate < 60


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("ours/ltsm", "nearest: ours/lstm"),
        ("ours/lstm@fusde", "unknown backend 'fusde'; nearest: fused"),
        ("ours/lstm@fused,genric", "unknown kernel 'genric'; nearest: generic"),
        ("ours/lstm@fused,generic,gpu", "unknown device 'gpu'; nearest: cpu"),
        ("ours/lstm@fused,generic,cpu,documentd", "unknown numerics 'documentd'; nearest: documented"),
        ("ours/lstm@fused#x", "no cell matches"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest_ones(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned(pattern)


def test_one_of_several_patterns_may_miss_the_kernels_asked_for_and_nothing_else() -> None:
    with pytest.raises(UsageError, match="no cell matches ours/lstm@fused#x under"):
        planned("ours/lstm@fused", "ours/lstm@fused#x")
    assert names("ours/lstm@fused", "ours/po*", kernels=("fused",)) == ["lstm@fused,fused,cpu,documented#0"]
    with pytest.raises(UsageError, match=r"no cell matches ours/po\* under"):
        planned("ours/po*", kernels=("fused",))


def test_without_a_framework_the_message_names_the_command_that_installs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runner.plan.DEFAULT_BACKENDS", ("absent",))
    with pytest.raises(Unavailable, match=r"pip install -c constraints.txt -e '\.\[torch\]'") as refused:
        planned()
    assert refused.value.exit_code == 3
