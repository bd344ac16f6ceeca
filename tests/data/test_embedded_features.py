"""Generated numbers: always the same, of the declared shape, and as hard as they claim to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bench.data import files_for, prepare
from bench.data.embedded_features import arrays
from bench.spec import EmbeddedFeatures

SPEC = EmbeddedFeatures((6, 4), train=4000, validation=500, test=3000)


@pytest.mark.parametrize("shape", [(4,), (6, 4), (1,), (6, 1)])
@pytest.mark.parametrize("classes", [2, 5])
def test_rows_have_the_declared_shape_and_equally_frequent_labels(shape: tuple[int, ...], classes: int) -> None:
    made = arrays(EmbeddedFeatures(shape, train=100, test=50, classes=classes))
    assert made.keys() == {"train.x", "train.y", "test.x", "test.y"}
    assert (made["train.x"].shape, made["train.x"].dtype) == ((100, *shape), np.float32)
    assert np.bincount(made["train.y"]).tolist() == [100 // classes] * classes


def test_no_part_depends_on_the_size_of_another() -> None:
    more, fewer = arrays(SPEC), arrays(replace(SPEC, train=10, validation=0))
    for name in ("test.x", "test.y"):
        np.testing.assert_array_equal(more[name], fewer[name])
    assert not np.array_equal(more["train.x"][:500], more["validation.x"])


@pytest.mark.parametrize("shape", [(4,), (30, 4), (30, 1), (30, 120)])
def test_two_classes_are_told_apart_on_nine_rows_in_ten_and_no_more(shape: tuple[int, ...]) -> None:
    made = arrays(replace(SPEC, shape=shape))
    train, test = (made[f"{part}.x"] for part in ("train", "test"))
    if len(shape) == 2:
        train, test = train.mean(1), test.mean(1)
    found = LogisticRegression().fit(train, made["train.y"]).score(test, made["test.y"])
    assert 0.86 < found < 0.92


def test_they_need_no_file_and_are_prepared_as_floats() -> None:
    assert files_for(SPEC, None) == ()
    dataset = prepare(SPEC, None, {})
    assert dataset.test is not None
    assert dataset.validation is not None
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (4000, 500, 3000)
    np.testing.assert_array_equal(dataset.train.x, arrays(SPEC)["train.x"])
    assert dataset.train.y.dtype == np.float32
