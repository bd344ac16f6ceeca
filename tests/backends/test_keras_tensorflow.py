"""What TensorFlow is fed with: what `fit` makes of arrays or a `PyDataset`, without the thread that it waits for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("another engine of Keras is in this process", allow_module_level=True)

from bench.backends import base  # noqa: E402
from bench.backends.keras_tensorflow import feed  # noqa: E402
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


@pytest.mark.parametrize("given", [(X, Y), (Batches(), None)], ids=["arrays", "batches"])
def test_batches_are_those_of_fit_and_no_thread_tunes_them(given: Any) -> None:
    dataset = feed(*given, 4, False)["x"]
    assert dataset.options().autotune.enabled is False
    assert [len(x) for x, _ in dataset] == [4, 4, 3]
    assert int(dataset.cardinality()) == 3
    for place, whole in enumerate((X, Y)):
        np.testing.assert_array_equal(np.concatenate([batch[place].numpy() for batch in dataset]), whole)


def test_arrays_are_shuffled_where_fit_would_shuffle_them() -> None:
    keras.utils.set_random_seed(0)
    shuffled = np.concatenate([x.numpy() for x, _ in feed(X, Y, 4, True)["x"]])
    assert not np.array_equal(shuffled, X)
    np.testing.assert_array_equal(np.sort(shuffled[:, 0]), np.sort(X[:, 0]))


@pytest.mark.parametrize("numerics", ["matched", "native:order"])
def test_only_whole_native_epochs_are_fed_as_users_do(numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(case(Embedding(WORDS, 3), Flatten(), Dense(2)), numerics=numerics)
    info = base.backend("keras-tensorflow")
    network = info.load()(base.native(info, model), "none", "cpu")
    fed: list[bool] = []
    fit = keras.Model.fit

    def spy(self: Any, x: Any, *more: Any, **named: Any) -> Any:
        fed.append(isinstance(x, np.ndarray))
        return fit(self, x, *more, **named)

    monkeypatch.setattr(keras.Model, "fit", spy)
    everything = np.arange(ROWS, dtype=np.intp)
    network.train_epoch(X, Y[:, 0], everything, None)
    assert isinstance(network, base.TrainsSteps)
    network.train_steps(X, Y[:, 0], everything, None)
    assert fed == [numerics == "native:order", False]
