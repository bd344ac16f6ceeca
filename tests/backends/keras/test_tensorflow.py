"""What TensorFlow is fed with: what `fit` makes of arrays or a `PyDataset`, without the thread that it waits for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("another engine of Keras is in this process", allow_module_level=True)

from bench.backends import registry  # noqa: E402
from bench.backends.base import TrainsSteps  # noqa: E402
from bench.backends.keras import tensorflow  # noqa: E402
from bench.backends.keras.tensorflow import batches, in_order, shuffled  # noqa: E402
from bench.spec import Dense, Embedding, Flatten  # noqa: E402
from tests.networks import LENGTH, WORDS, case, model_of  # noqa: E402

ROWS = 11
X = np.arange(ROWS * LENGTH, dtype=np.int32).reshape(ROWS, LENGTH) % WORDS
Y = (np.arange(ROWS) % 2).astype(np.float32)[:, None]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The rows in batches of four."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> Any:
        return X[4 * number : 4 * number + 4], Y[4 * number : 4 * number + 4]


def joined(dataset: Any, place: int) -> Any:
    return np.concatenate([batch[place].numpy() for batch in dataset])


def test_batches_are_those_of_fit_and_no_thread_tunes_them() -> None:
    dataset = batches(Batches())
    assert dataset.options().autotune.enabled is False
    assert int(dataset.cardinality()) == 3
    assert [len(x) for x, _ in dataset] == [4, 4, 3]
    np.testing.assert_array_equal(joined(dataset, 0), X)
    np.testing.assert_array_equal(joined(dataset, 1), Y)


@pytest.mark.parametrize("rows", [1, 8, ROWS], ids=["one", "even", "partial"])
def test_arrays_come_in_their_order_and_no_thread_tunes_them(rows: int) -> None:
    x, y = X[:rows][::-1], Y[:rows][::-1]
    dataset = in_order(x, y, 4)["x"]
    assert dataset.options().autotune.enabled is False
    assert int(dataset.cardinality()) == -(-rows // 4)
    assert [len(x) for x, _ in dataset] == [len(x[at : at + 4]) for at in range(0, rows, 4)]
    np.testing.assert_array_equal(joined(dataset, 0), x)
    np.testing.assert_array_equal(joined(dataset, 1), y)


def test_arrays_are_shuffled_and_tuned_as_fit_does() -> None:
    keras.utils.set_random_seed(0)
    dataset = shuffled(X, Y, 4)["x"]
    assert dataset.options().autotune.enabled is not False
    assert int(dataset.cardinality()) == 3
    rows = joined(dataset, 0)
    assert not np.array_equal(rows, X)
    np.testing.assert_array_equal(np.sort(rows[:, 0]), np.sort(X[:, 0]))


def network_of(numerics: str) -> Any:
    model = model_of(case(Embedding(WORDS, 3), Flatten(), Dense(2)), numerics=numerics)
    info = registry.backend("keras-tensorflow")
    return info.load()(registry.native(info, model), "none", "cpu")


EVERYTHING = np.arange(ROWS, dtype=np.intp)


@pytest.mark.parametrize("numerics", ["matched", "native:order"])
def test_only_whole_native_epochs_are_fed_as_users_do(numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(numerics)
    tuned: list[bool] = []
    fit = keras.Model.fit

    def spy(self: Any, x: Any, *more: Any, **named: Any) -> Any:
        tuned.append(x.options().autotune.enabled is not False)
        return fit(self, x, *more, **named)

    monkeypatch.setattr(keras.Model, "fit", spy)
    network.train_epoch(X, Y[:, 0], EVERYTHING, None)
    assert isinstance(network, TrainsSteps)
    network.train_steps(X, Y[:, 0], EVERYTHING, None)
    assert tuned == [numerics == "native:order", False]


def test_what_fit_keeps_over_its_epochs_is_made_once_for_the_same_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def spy(x: Any, y: Any, batch_size: int) -> Any:
        made.append(x)
        return shuffled(x, y, batch_size)

    monkeypatch.setattr(tensorflow, "shuffled", spy)
    network, labels, others = network_of("native:order"), Y[:, 0], X[::-1].copy()
    for x in (X, X, others, X):
        network.train_epoch(x, labels, EVERYTHING, None)
    assert len(made) == 3
    for found, wanted in zip(made, (X, others, X), strict=True):
        np.testing.assert_array_equal(found, wanted)
