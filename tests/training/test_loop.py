"""The protocol against Keras's documented one: rows, order, masks, early stopping, checkpoint, divergence."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from bench.backends.base import EpochResult
from bench.cases.model import embedding_of, resolve
from bench.cases.profiles import apply
from bench.data import prepare
from bench.data.dataset import Dataset, Examples, MultiHot
from bench.errors import TrainingDiverged, UsageError
from bench.spec import (
    KERAS_3,
    LSTM,
    SGD,
    Bidirectional,
    Case,
    Dense,
    Dropout,
    EarlyStopping,
    Embedded,
    Embedding,
    FirstRows,
    GlobalAveragePooling1D,
    Imdb,
    LastFraction,
    PiecewiseConstantDecay,
    RandomRows,
    Suite,
    TestSet,
    Training,
)
from bench.training.experiment import Experiment
from bench.training.loop import Trainer, scores

LAYERS = (Embedding(50, 4), LSTM(3), Dense(1, "sigmoid"))


def case_of(layers=LAYERS, **training):
    return Case("case", Embedded(50, maxlen=6, validation=9), layers, Training("adam", **{"epochs": 5, **training}))


def model_of(case):
    return resolve(Suite("suite", "none", "A suite", KERAS_3, (case,)), case, "documented")


def part(rows):
    random = np.random.RandomState(rows)
    return Examples(random.randint(1, 50, (rows, 6)).astype(np.int32), random.randint(0, 2, rows).astype(np.float32))


def experiment_of(case, data, seed=0):
    return Experiment(case, model_of(case), data, "suite/case", seed)


def split(case, data, seed=0):
    return experiment_of(case, data, seed).split


def dataset_of(train=40, validation=None, test=None):
    return Dataset("data", "0", part(train), validation and part(validation), test and part(test))


class Scripted:
    """A network whose validation logits follow a script: one (accuracy, confidence) per epoch."""

    def __init__(self, script, bad=None):
        self.script, self.bad = script, bad
        self.epochs: list[np.ndarray] = []
        self.weights = [np.zeros(1)]

    def train_epoch(self, x, y, order, masks):
        self.epochs.append(order)
        self.weights = [np.array([float(len(self.epochs))])]
        if self.bad and self.bad[0] == len(self.epochs):
            return EpochResult(float("nan"), 0.5, self.bad[1])
        return EpochResult(0.5, 0.5)

    def logits(self, x):
        accuracy, confidence = self.script[int(self.weights[0][0]) - 1]
        labels = self.labels_of[len(x)]
        signs = np.where(labels > 0.5, 1.0, -1.0)
        signs[: round(len(x) * (1 - accuracy))] *= -1
        return (signs * confidence).astype(np.float32)

    def get_weights(self):
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights):
        self.weights = weights

    def synchronize(self):
        pass


def run(script, bad=None, data=None, measure="accuracy", brief=False, network=Scripted, **training):
    case = case_of(**training)
    data = data or dataset_of(validation=10)
    network = network(script, bad)
    parts = [piece for piece in (data.train, data.validation, data.test) if piece]
    network.labels_of = {len(piece): piece.y for piece in parts}
    seen = []
    metrics = Trainer(network, experiment_of(case, data), measure, brief=brief).train(seen.append)
    return network, metrics, seen


# --- rows --------------------------------------------------------------------------------------------------------


def test_the_test_set_is_validated_on_and_every_training_row_trained_on():
    case = case_of(validation=TestSet())
    data = dataset_of(validation=10, test=13)
    held = split(case, data)
    np.testing.assert_array_equal(held.rows, np.arange(40))
    np.testing.assert_array_equal(held.fitted, np.arange(40))
    assert held.validation[0] is data.test
    np.testing.assert_array_equal(held.validation[1], np.arange(13))
    with pytest.raises(UsageError, match="validates on the test set, and its data has none"):
        split(case, dataset_of())


@pytest.mark.parametrize(("rows", "fraction", "trained"), [(5000, 0.25, 3750), (25000, 0.2, 20000), (7, 0.3, 4)])
def test_validation_split_takes_the_last_rows(rows, fraction, trained):
    # 3,750 + 1,250 and 20,000 + 5,000 are printed by documents 000 and 001; Keras floors the training part.
    found = split(case_of(validation=LastFraction(fraction)), dataset_of(rows), seed=0)
    np.testing.assert_array_equal(found.rows, np.arange(trained))
    np.testing.assert_array_equal(found.validation[1], np.arange(trained, rows))
    np.testing.assert_array_equal(found.fitted, np.arange(rows))


def test_validation_split_equals_keras():
    keras_utils = pytest.importorskip("keras.src.trainers.data_adapters.array_slicing")
    for rows in (7, 40, 4999):
        (fitted,), (held,) = keras_utils.train_validation_split((np.arange(rows),), validation_split=0.25)
        found = split(case_of(validation=LastFraction(0.25)), dataset_of(rows), seed=0)
        np.testing.assert_array_equal(found.rows, fitted)
        np.testing.assert_array_equal(found.validation[1], held)


def test_first_rows_validate_and_the_rest_trains():
    found = split(case_of(validation=FirstRows(10)), dataset_of(40), seed=0)
    np.testing.assert_array_equal(found.validation[1], np.arange(10))
    np.testing.assert_array_equal(found.rows, np.arange(10, 40))


def test_random_rows_do_not_overlap_depend_on_the_seed_and_grow():
    def chosen(train, seed=0):
        found = split(case_of(validation=RandomRows(train, 10)), dataset_of(40), seed)
        assert not set(found.rows) & set(found.validation[1])
        assert len(found.validation[1]) == 10
        return found.rows

    np.testing.assert_array_equal(chosen(20)[:5], chosen(5))
    assert not np.array_equal(chosen(20), chosen(20, seed=1))


def test_too_few_rows_are_an_error_that_says_how_many():
    with pytest.raises(UsageError, match="needs 41 training rows, its data has 40"):
        split(case_of(validation=RandomRows(31, 10)), dataset_of(40), 0)


def test_order_is_a_new_permutation_of_the_rows_each_epoch():
    experiment = experiment_of(case_of(validation=FirstRows(10)), dataset_of(50))
    first, second = experiment.order(1), experiment.order(2)
    np.testing.assert_array_equal(np.sort(first), np.arange(10, 50))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, experiment.order(1))
    np.testing.assert_array_equal(experiment.first_batch().x, experiment.dataset.train.x[first[:32]])


# --- dropout masks -----------------------------------------------------------------------------------------------


def test_masks_have_keras_shapes_and_rates():
    inner = LSTM(30, dropout=0.1, recurrent_dropout=0.4)
    layers = (Embedding(50, 20, mask_zero=True), Dropout(0.2), Bidirectional(inner), Dropout(0.5), Dense(1, "sigmoid"))
    masks = experiment_of(case_of(layers), dataset_of()).masks(1)(0, 500)
    shapes = [(6, 20), (4, 20), (4, 30), (4, 20), (4, 30), (60,)]
    rates = [0.2, 0.1, 0.4, 0.1, 0.4, 0.5]
    assert [mask.shape for mask in masks] == [(500, *shape) for shape in shapes]
    for mask, rate in zip(masks, rates, strict=True):
        assert set(np.unique(mask)) == {0.0, np.float32(1 / (1 - rate))}
        assert np.mean(mask == 0) == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / mask.size))


def test_without_recurrent_dropout_the_gates_share_one_mask():
    layers = (Embedding(50, 20), LSTM(30, dropout=0.1), Dense(1, "sigmoid"))
    assert [m.shape for m in experiment_of(case_of(layers), dataset_of()).masks(1)(0, 5)] == [(5, 1, 20)]


def test_a_model_without_dropout_has_no_masks():
    assert experiment_of(case_of(), dataset_of()).masks(1) is None


# --- scores ------------------------------------------------------------------------------------------------------


def test_scores_equal_cross_entropy_of_probabilities():
    random = np.random.RandomState(0)
    logits, y = (3 * random.standard_normal(1000)).astype(np.float32), random.randint(0, 2, 1000).astype(np.float32)
    p = expit(logits.astype(np.float64))
    found = scores(logits, y)
    assert found.loss == pytest.approx(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), rel=1e-12)
    assert found.accuracy == np.mean((p > 0.5) == y)
    assert found.rows == 1000


def test_scores_stay_finite_where_a_probability_rounds_to_one():
    assert scores(np.array([800.0, -800.0], np.float32), np.array([0.0, 1.0], np.float32)).loss == pytest.approx(800)


def test_scores_of_classes_are_those_of_torch_and_of_huge_logits_finite():
    torch = pytest.importorskip("torch")
    random = np.random.RandomState(0)
    logits, y = random.randn(50, 4).astype(np.float32), random.randint(0, 4, 50).astype(np.int32)
    found = scores(logits, y)
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(y).long())
    assert found.loss == pytest.approx(float(expected), rel=1e-12)
    assert found.accuracy == np.mean(np.argmax(logits, axis=1) == y)
    assert 0 < found.accuracy < 1
    assert scores(np.array([[800.0, 0.0, -800.0]], np.float32), np.array([2], np.int32)).loss == pytest.approx(1600)
    assert scores(np.zeros((1, 3), np.float32), np.array([0], np.int32)).accuracy == 1  # of equal ones the first


def test_a_quick_training_of_classes_learns_what_a_bag_of_words_can():
    pytest.importorskip("torch")
    from bench.backends.torch.network import build

    layers = (Embedding(5000, 16), GlobalAveragePooling1D(), Dense(5, "softmax"))
    schedule = PiecewiseConstantDecay((60,), (1.0, 0.2))
    training = Training(SGD(0.9, nesterov=True), 9, 64, schedule, TestSet(), global_clipnorm=1.0)
    case = apply(Case("case", Imdb(5000, maxlen=100), layers, training), "quick")
    experiment = experiment_of(case, prepare(case.data, embedding_of(case), {}, case.classes))
    network = build(experiment.model, "none", "cpu")
    experiment.start(network)
    metrics = Trainer(network, experiment).train()
    assert metrics.last.validation == metrics.last.test
    assert metrics.last.test.accuracy > 0.5  # 0.2 by chance


# --- epochs, stopping, checkpoint --------------------------------------------------------------------------------

WORSE_LATER = [(0.6, 1.0), (0.8, 1.0), (0.7, 1.0), (0.9, 0.1), (0.7, 1.0)]


@pytest.mark.parametrize(("patience", "epochs"), [(0, 3), (1, 3), (2, 4), (3, 5)])
def test_early_stopping_equals_keras(patience, epochs):
    _, metrics, _ = run(WORSE_LATER, early_stopping=EarlyStopping(patience))
    losses = [epoch.val_loss for epoch in metrics.epochs]
    assert len(losses) == epochs

    keras = pytest.importorskip("keras")
    theirs = keras.callbacks.EarlyStopping(patience=patience)
    theirs.set_model(type("Model", (), {"stop_training": False})())
    theirs.on_train_begin()
    for number, loss in enumerate(losses):
        assert not theirs.model.stop_training
        theirs.on_epoch_end(number, {"val_loss": loss})
    assert theirs.model.stop_training or len(losses) == len(WORSE_LATER)


def test_early_stopping_on_accuracy_counts_a_tie_as_no_improvement():
    script = [(0.6, 1.0), (0.8, 1.0), (0.8, 2.0), (0.8, 3.0), (0.9, 3.0)]
    _, metrics, _ = run(script, early_stopping=EarlyStopping(2, "val_accuracy"))
    assert len(metrics.epochs) == 4


def test_checkpoint_keeps_the_first_best_epoch_beside_the_last():
    script = [(0.6, 1.0), (0.9, 1.0), (0.9, 2.0), (0.7, 1.0), (0.8, 1.0)]
    _, metrics, _ = run(script, checkpoint="val_accuracy")
    assert (metrics.best.epoch, metrics.best.validation.accuracy) == (2, 0.9)
    assert (metrics.last.epoch, metrics.last.validation.accuracy) == (5, 0.8)


def test_scores_name_the_weights_that_they_are_of():
    _, metrics, _ = run([(0.6, 1), (0.9, 1), (0.7, 1)], checkpoint="val_accuracy", epochs=3)
    assert [metrics.last.epoch, metrics.best.epoch] == [3, 2], "the weights of Scripted are the number of their epoch"
    for weights in metrics.last, metrics.best:
        assert weights.sha256 == hashlib.sha256(struct.pack("<f", weights.epoch)).hexdigest()


def test_scores_of_train_cover_the_validation_rows_of_a_split():
    data = dataset_of(40, test=20)
    case = case_of(validation=LastFraction(0.25))
    network = Scripted([(0.5, 1.0)] * 5)
    network.labels_of = {40: data.train.y, 20: data.test.y, 10: data.train.y[30:]}
    found = Trainer(network, experiment_of(case, data)).train()
    assert found.last.train.rows == 40
    assert found.last.validation.rows == 10
    assert found.last.test.rows == 20
    assert {len(rows) for rows in network.epochs} == {30}


def test_scoring_some_multi_hot_rows_does_not_make_them_all(monkeypatch):
    y = part(40).y
    rows = MultiHot(np.arange(40, dtype=np.int32), np.arange(41), 50)
    made = []
    make = MultiHot.__getitem__
    monkeypatch.setattr(MultiHot, "__getitem__", lambda self, rows: made.append(len(rows)) or make(self, rows))
    case = Case("case", Imdb(50, encoding="multi-hot"), LAYERS[-1:], Training("adam", 1, validation=FirstRows(10)))
    network = Scripted([(0.5, 1.0)])
    network.labels_of = {10: y[:10], 30: y[10:]}
    data = Dataset("data", "0", Examples(rows, y))
    found = Trainer(network, experiment_of(case, data)).train()
    assert (found.last.validation.rows, found.last.train.rows) == (10, 30)
    assert made == []


def test_steps_count_the_partial_batch():
    _, metrics, seen = run([(0.5, 1.0)] * 5)
    assert {epoch.steps for epoch in metrics.epochs} == {2}  # 40 rows in batches of 32
    assert [progress.epoch for progress in seen] == [1, 2, 3, 4, 5]


def test_divergence_names_epoch_and_step():
    with pytest.raises(TrainingDiverged, match="suite/case: the loss is not finite in epoch 3, step 2"):
        run([(0.5, 1.0)] * 5, bad=(3, 2))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_divergence_in_the_last_step_of_all_is_no_result(bad):
    class LastStep(Scripted):
        def train_epoch(self, x, y, order, masks):
            result = super().train_epoch(x, y, order, masks)
            self.weights.append(np.array([bad if len(self.epochs) == 5 else 0.0]))
            return result

    with pytest.raises(TrainingDiverged, match="suite/case: a weight is not finite in epoch 5, step 2"):
        run([(0.5, 1.0)] * 5, network=LastStep)
    with pytest.raises(TrainingDiverged, match="a logit is not finite in epoch 3, step 2"):
        run([(0.5, 1.0), (0.5, 1.0), (0.5, bad)])


def test_timing_evaluates_nothing_and_does_not_stop_early():
    network, metrics, _ = run([], measure="timing", early_stopping=EarlyStopping(0))
    assert metrics.last is None
    assert all(epoch.val_loss is None for epoch in metrics.epochs)
    assert len(metrics.epochs) == len(network.epochs) > 3


def test_brief_timing_trains_one_steady_epoch():
    network, metrics, _ = run([], measure="timing", brief=True)
    assert len(metrics.epochs) == len(network.epochs) == 2


def test_monitoring_without_a_validation_set_is_an_error():
    with pytest.raises(UsageError, match="val_loss is monitored but there is no validation set"):
        run([(0.5, 1.0)] * 5, data=replace(dataset_of(), validation=None), early_stopping=EarlyStopping(1))
