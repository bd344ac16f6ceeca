"""What versions changed: stages of a case, and pairs of seeds against scipy's paired t-test."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs
from scipy.stats import ttest_rel

from bench.backends.registry import BACKENDS
from bench.cases.model import resolve
from bench.explain.versions import stages, steps
from bench.spec import KERAS_2_0, KERAS_2_3, LSTM, Case, Dense, Embedding, Flatten, Imdb, Suite, Training
from tests.explain.test_effects import MATCHED, SAME, WORSE, records

LAYERS = (Embedding(50, 4), LSTM(3), Dense(1, "sigmoid"))
RMSPROP = Training(optimizer="rmsprop", epochs=1, batch_size=8)


def case(*layers, optimizer="rmsprop"):
    data = Imdb(num_words=50, maxlen=9, encoding="ids")
    return Case("c", data, layers or LAYERS, replace(RMSPROP, optimizer=optimizer))


def suite(era=KERAS_2_3):
    return Suite("s", "d", "t", era, (case(),))


def test_stages_go_from_the_documents_keras_to_pytorch_and_each_can_be_run():
    found = stages(suite(), case())
    assert [stage.backend for stage in found] == ["tf-keras"] * 2 + ["keras-tensorflow"] * 3 + ["torch"]
    assert [stage.numerics for stage in found] == [
        "documented", "matched", "matched", "native:embedding-gradient", "native", "native",
    ]  # fmt: skip
    for stage in found:
        assert stage.backend in BACKENDS
        resolve(suite(), case(), stage.numerics)


@pytest.mark.parametrize(
    ("era", "optimizer", "epsilon", "gates"),
    [
        (KERAS_2_3, "rmsprop", True, False),
        (KERAS_2_3, "adam", False, False),
        (KERAS_2_0, "rmsprop", True, True),
        (KERAS_2_0, "adam", False, True),
    ],
)
def test_a_stage_says_what_changed_in_the_model_that_is_built(era, optimizer, epsilon, gates):
    declared = case(optimizer=optimizer)
    changed = stages(suite(era), declared)[1].changed
    assert ("epsilon" in changed, "gates" in changed) == (epsilon, gates)
    older, newer = (resolve(suite(era), declared, numerics) for numerics in ("documented", "matched"))
    assert (older.recurrent[0].recurrent_activation != newer.recurrent[0].recurrent_activation) == gates
    if optimizer == "rmsprop":
        assert (older.rmsprop_epsilon != newer.rmsprop_epsilon) == epsilon


def test_frozen_vectors_have_no_duplicate_gradients():
    frozen = case(Embedding(50, 4, trainable=False), Flatten(), Dense(1, "sigmoid"))
    assert "native:embedding-gradient" not in [stage.numerics for stage in stages(suite(), frozen)]


def found(*groups):
    together = [one for group in groups for one in group]
    return steps(stages(suite(), case()), together, lambda metrics: metrics.last.test)


def test_a_change_is_that_of_pairs_with_scipys_interval():
    first, second = found(
        records("documented", MATCHED, backend="tf-keras"), records("matched", WORSE, backend="tf-keras")
    )
    expected = ttest_rel(WORSE, MATCHED)
    low, high = expected.confidence_interval(0.95)
    assert first.change is None
    assert first.verdict is None
    assert second.change.mean == pytest.approx((low + high) / 2)
    assert second.change.ci_half_width == pytest.approx((high - low) / 2)
    assert second.verdict == "costs"


def test_changes_add_up_over_the_seeds_that_all_stages_have():
    made = found(
        records("documented", MATCHED, backend="tf-keras"),
        records("matched", WORSE[:4], backend="tf-keras"),
        records("native", SAME, backend="torch"),
    )
    assert [sorted(step.accuracies) for step in made] == [[0, 1, 2, 3]] * 3
    assert made[0].mean + sum(step.change.mean for step in made[1:]) == pytest.approx(made[-1].mean)


def test_what_failed_does_not_count_and_the_best_kernel_does():
    failed = [structs.replace(one, status="failed") for one in records("matched", SAME, backend="tf-keras")]
    both = records("native", MATCHED, kernel="generic"), records("native", WORSE, kernel="fused")
    *_, last = found(records("documented", MATCHED, backend="tf-keras"), failed, *both)
    assert (last.stage.backend, last.kernel) == ("torch", "fused")
    assert last.mean == pytest.approx(sum(WORSE) / len(WORSE))
    assert found(records("documented", [], backend="tf-keras")) == []
    apart = [structs.replace(one, seed=one.seed + 10) for one in records("native", WORSE)]
    assert found(records("documented", MATCHED, backend="tf-keras"), apart) == []
