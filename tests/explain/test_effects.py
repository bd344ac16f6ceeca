"""What differences cost: which numerics are compared, and pairs of seeds against scipy's paired t-test."""

from __future__ import annotations

import pytest
from msgspec import structs
from scipy.stats import ttest_rel

from bench.backends.registry import BACKENDS
from bench.cases.model import resolve
from bench.explain.effects import effects, is_single, missing_differences, numerics_of
from bench.records.record import Metrics, Record, Score, Timing, Weights
from bench.spec import (
    GRU,
    KERAS_3,
    LSTM,
    Case,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    Imdb,
    LayerNormalization,
    Suite,
    Training,
)

MATCHED = [0.70, 0.72, 0.69, 0.75, 0.71]
WORSE = [0.66, 0.69, 0.66, 0.70, 0.69]
SAME = [0.71, 0.71, 0.70, 0.74, 0.71]


def record(numerics, seed, accuracy, backend="torch", status="ok", seconds=1.0, alone=True, kernel="none"):
    test = Score(loss=1 - accuracy, accuracy=accuracy, rows=100)
    return Record(
        suite="s",
        case="c",
        backend=backend,
        kernel=kernel,
        device="cpu",
        numerics=numerics,
        seed=seed,
        profile="documented",
        measure="accuracy",
        status=status,
        metrics=Metrics(epochs=[], last=Weights(epoch=1, test=test)),
        timing=Timing(build=0, first_epoch=9, epochs=[seconds, seconds], steps=1, total=9, alone=alone),
        started="now",
        seconds=1,
    )


def records(numerics, accuracies, **more):
    return [record(numerics, seed, accuracy, **more) for seed, accuracy in enumerate(accuracies)]


def found(*groups):
    return effects([one for group in groups for one in group], lambda metrics: metrics.last.test)


def model(*layers):
    case = Case(
        "case", Imdb(50, maxlen=6), (Embedding(50, 4), *layers, Dense(1, "sigmoid")), Training("adam", epochs=1)
    )
    return resolve(Suite("suite", "0", "title", KERAS_3, (case,)), case, "native")


def single(*names):
    return tuple(f"native:{name}" for name in names)


WHOLE = ("matched", "documented", "native")
TORCH = ("optimizer", "bias", "reset-after", "recurrent-dropout", "normalization", "loss", "order", "denormals")


@pytest.mark.parametrize(
    ("layers", "initial", "lacking"),
    [
        ((LSTM(3),), ("embedding", "recurrent", "dense"), {"reset-after", "recurrent-dropout"}),
        ((LSTM(3, recurrent_dropout=0.5),), ("embedding", "recurrent", "dense"), {"reset-after"}),
        ((GRU(3, reset_after=False),), ("embedding", "recurrent", "dense"), {"bias", "recurrent-dropout"}),
        ((GlobalAveragePooling1D(),), ("embedding", "dense"), {"bias", "reset-after", "recurrent-dropout"}),
        (
            (LayerNormalization(), GlobalAveragePooling1D()),
            ("embedding", "dense"),
            {"bias", "reset-after", "recurrent-dropout"},
        ),
    ],
)
def test_the_numerics_to_compare_are_the_whole_sets_and_every_difference_that_exists(layers, initial, lacking):
    parts = (f"init:{kind}" for kind in initial)
    if not isinstance(layers[0], LayerNormalization):
        lacking = lacking | {"normalization"}
    expected = (*WHOLE, *single("init", *parts, *(name for name in TORCH if name not in lacking)))
    assert numerics_of(BACKENDS["torch"], model(*layers)) == expected


def test_initial_weights_of_one_kind_of_layer_are_compared_once():
    wide = Case("case", Imdb(50, encoding="multi-hot"), (Dense(4), Dense(1, "sigmoid")), Training("adam", epochs=1))
    resolved = resolve(Suite("suite", "0", "title", KERAS_3, (wide,)), wide, "native")
    assert numerics_of(BACKENDS["torch"], resolved) == (
        *WHOLE,
        *single("init", "optimizer", "loss", "order", "denormals"),
    )


def test_a_backend_lacks_the_differences_of_another():
    rnn = model(LSTM(3))
    keras = single("init", "init:embedding", "init:recurrent", "init:dense", "loss", "embedding-gradient", "order")
    assert numerics_of(BACKENDS["keras-tensorflow"], rnn) == (*WHOLE, *keras)
    lacking = ["optimizer", "bias", "reset-after", "recurrent-dropout", "normalization", "denormals"]
    assert missing_differences(BACKENDS["keras-tensorflow"], rnn) == lacking
    assert missing_differences(BACKENDS["torch"], model(Flatten())) == [
        "init:recurrent", "bias", "reset-after", "recurrent-dropout", "normalization", "embedding-gradient",
    ]  # fmt: skip


def test_a_single_difference_is_one_name_or_all_initial_weights():
    assert all(map(is_single, single("init", "init:dense", "bias")))
    assert not any(map(is_single, (*WHOLE, *single("-denormals", "-bias", "loss,order"))))


def test_an_effect_is_the_paired_t_interval_of_scipy():
    (_, effect) = found(records("matched", MATCHED), records("native:init", WORSE))
    interval = ttest_rel(WORSE, MATCHED).confidence_interval(0.95)
    change = effect.accuracy.change
    assert change.mean - change.ci_half_width == pytest.approx(100 * interval.low, rel=1e-9)
    assert change.mean + change.ci_half_width == pytest.approx(100 * interval.high, rel=1e-9)
    assert (effect.verdict, effect.accuracy.change.n) == ("costs", 5)
    assert effect.loss.change.mean == pytest.approx(-change.mean / 100)


def test_only_seeds_that_ended_ok_under_both_numerics_make_a_pair():
    broken = [record("native:init", 3, 0.1, status="failed"), record("native:init", 4, 0.69)]
    (_, effect) = found(records("matched", MATCHED), records("native:init", WORSE[:2]), broken)
    assert effect.accuracy.change.n == 3
    assert effect.accuracy.change.mean == pytest.approx(100 * ((0.66 + 0.69 + 0.69) - (0.70 + 0.72 + 0.71)) / 3)
    assert found(records("native:init", WORSE)) == []


def test_numerics_that_have_another_kernel_are_paired_but_for_their_seconds():
    matched, other = records("matched", MATCHED, kernel="fused"), records("native:init", SAME, kernel="fused")
    (_, documented, init) = found(records("documented", WORSE, kernel="generic"), matched, other)
    assert (documented.numerics, documented.kernel, init.kernel) == ("documented", "generic", "fused")
    assert documented.accuracy.change.mean == pytest.approx(-3.4)
    assert (documented.epoch.level.n, documented.epoch.change.n, init.epoch.change.n) == (5, 0, 5)


def test_only_records_of_one_device_make_a_pair():
    cuda = [structs.replace(one, device="cuda") for one in records("matched", WORSE)]
    effects_of = {(effect.device, effect.numerics) for effect in found(records("native:init", SAME), cuda)}
    assert effects_of == {("cuda", "matched")}
    (_, init, _) = found(records("matched", MATCHED), records("native:init", SAME), cuda)
    assert (init.device, init.accuracy.base.mean) == ("cpu", pytest.approx(100 * sum(MATCHED) / 5))


def test_any_numerics_can_be_the_reference():
    held = records("documented", MATCHED) + records("matched", WORSE[:3])
    first, matched = effects(held, lambda metrics: metrics.last.test, "documented")
    assert (first.numerics, matched.numerics) == ("documented", "matched")
    assert matched.accuracy.change.mean == pytest.approx(100 * (0.66 + 0.69 + 0.66 - 0.70 - 0.72 - 0.69) / 3)
    assert matched.accuracy.base.mean == pytest.approx(100 * (0.70 + 0.72 + 0.69) / 3), "only seeds that make a pair"


def test_effects_come_backend_by_backend_with_the_largest_first():
    groups = [
        records(numerics, values, backend=backend)
        for backend in ("keras-tensorflow", "torch")
        for numerics, values in (("native:order", SAME), ("native:init", WORSE), ("matched", MATCHED))
    ]
    assert [(effect.backend, effect.numerics) for effect in found(*groups)] == [
        (backend, numerics)
        for backend in ("keras-tensorflow", "torch")
        for numerics in ("matched", "native:init", "native:order")
    ]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (WORSE, "costs"),
        ([0.67, 0.71, 0.68, 0.72, 0.70], "costs"),  # -1.80 ± 1.36
        ([2 * base - worse for base, worse in zip(MATCHED, WORSE, strict=True)], "gains"),
        (SAME, "no significant effect"),
        (MATCHED, "changes nothing"),
        (WORSE[:1], "one seed"),
    ],
)
def test_a_verdict_is_where_the_interval_lies(values, verdict):
    (_, effect) = found(records("matched", MATCHED), records("native:init", values))
    assert effect.verdict == verdict


def test_seconds_of_an_epoch_count_where_the_process_had_one_cell():
    slow = records("native:order", SAME, seconds=3.0)
    (_, effect) = found(records("matched", MATCHED), slow)
    assert (effect.epoch.change.mean, effect.epoch.change.ci_half_width, effect.epoch.change.n) == (2.0, 0.0, 5)
    (_, effect) = found(records("matched", MATCHED), records("native:order", SAME, seconds=3.0, alone=False))
    assert effect.epoch.change.n == 0
