"""Native numerics against what a user of each framework writes: its own modules, optimizers and loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.backends.base import Network
from bench.backends.registry import BACKENDS, best_kernel, native
from bench.cases.model import DIFFERENCES, INITIAL, Model, resolve
from bench.data.dataset import Dataset, Examples, MultiHot
from bench.errors import Unavailable
from bench.spec import (
    GRU,
    KERAS_2_0,
    LSTM,
    SGD,
    AdamW,
    BatchNormalization,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Dropout,
    EmbeddedFeatures,
    Embedding,
    ExponentialDecay,
    Flatten,
    GlobalAveragePooling1D,
    Imdb,
    Layer,
    LayerNormalization,
    MaxPooling1D,
    Optimizer,
    SimpleRNN,
    Suite,
    Training,
)
from bench.training import weights
from bench.training.experiment import Experiment, mask_source
from bench.training.loop import Trainer

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras on NumPy 2.4

WORDS, LENGTH, ROWS, SEED = 40, 9, 50, 3
RANDOM = np.random.RandomState(0)
X = RANDOM.randint(1, WORDS, (ROWS, LENGTH)).astype(np.int32)
Y = (RANDOM.rand(ROWS) > 0.5).astype(np.float32)
FLOATS = RANDOM.standard_normal((ROWS, LENGTH, 4)).astype(np.float32)
CLASSES = 3
Y_OF_CLASSES = np.random.RandomState(1).randint(0, CLASSES, ROWS).astype(np.int32)


def case_of(*layers: Layer, optimizer: Optimizer = "adam", classes: int = 0, **training: Any) -> Case:
    settings = Training(optimizer, **{"epochs": 3, "batch_size": 16, **training})
    last = Dense(classes, "softmax") if classes else Dense(1, "sigmoid")
    return Case("case", Imdb(WORDS, maxlen=LENGTH), (*layers, last), settings)


def labels_of(case: Case) -> Any:
    return Y_OF_CLASSES if case.classes else Y


def on_numbers(*layers: Layer, **training: Any) -> Case:
    case = case_of(Embedding(WORDS, 4), Flatten(), **training)
    return replace(case, data=EmbeddedFeatures((LENGTH, 4)), layers=(*layers, Dense(1, "sigmoid")))


def rows_of(case: Case) -> Any:
    return FLOATS if isinstance(case.data, EmbeddedFeatures) else X


def model_of(backend: str, numerics: str, case: Case) -> Model:
    resolved = resolve(Suite("suite", "0", "title", KERAS_2_0, (case,)), case, numerics)
    return native(BACKENDS[backend], resolved)


def network_of(backend: str, model: Model, seed: int = SEED, kernel: str | None = None) -> Network:
    network = BACKENDS[backend].load()(model, kernel or best_kernel(BACKENDS[backend], model, "cpu"), "cpu")
    network.set_weights(weights.initial(model, "suite/case", seed))
    if model.differences:
        network.initialize(seed)
    return network


def trained(backend: str, numerics: str, case: Case) -> Network:
    """Train as a cell is trained."""
    model = model_of(backend, numerics, case)
    network = network_of(backend, model)
    Trainer(network, experiment_of(case, model)).train()
    return network


def experiment_of(case: Case, model: Model) -> Experiment:
    return Experiment(case, model, Dataset("made", "0", Examples(rows_of(case), labels_of(case))), "suite/case", SEED)


# --- which differences exist -------------------------------------------------------------------------------------

RNN, POOL = (Embedding(WORDS, 4), LSTM(3)), (Embedding(WORDS, 4), GlobalAveragePooling1D())
OLD_GRU, STATES_DROPPED = (
    (Embedding(WORDS, 4), GRU(3, reset_after=False)),
    (Embedding(WORDS, 4), LSTM(3, recurrent_dropout=0.5)),
)
FROZEN = (Embedding(WORDS, 4, trainable=False), GRU(3))
NORMALIZED = (Embedding(WORDS, 4), LayerNormalization(), GlobalAveragePooling1D())


@pytest.mark.parametrize(
    ("backend", "layers", "existing"),
    [
        ("torch", RNN, {*INITIAL, "optimizer", "bias", "loss", "order", "denormals"}),
        ("torch", POOL, {"init:embedding", "init:dense", "optimizer", "loss", "order", "denormals"}),
        ("torch", OLD_GRU, {*INITIAL, "optimizer", "reset-after", "loss", "order", "denormals"}),
        ("torch", STATES_DROPPED, {*INITIAL, "optimizer", "bias", "recurrent-dropout", "loss", "order", "denormals"}),
        (
            "torch",
            FROZEN,
            {*INITIAL, "optimizer", "loss", "order", "denormals"},
        ),  # both biases of a GRU are trained everywhere
        (
            "torch",
            NORMALIZED,
            {"init:embedding", "init:dense", "optimizer", "normalization", "loss", "order", "denormals"},
        ),
        ("keras-tensorflow", NORMALIZED, {"init:embedding", "init:dense", "loss", "embedding-gradient", "order"}),
        ("keras-tensorflow", RNN, {*INITIAL, "loss", "embedding-gradient", "order"}),
        ("keras-tensorflow", FROZEN, {*INITIAL, "loss", "order"}),
    ],
)
def test_native_takes_the_differences_that_exist(backend: str, layers: tuple[Layer, ...], existing: set[str]) -> None:
    assert model_of(backend, "native", case_of(*layers)).differences == existing
    for name in DIFFERENCES:
        if name in existing:
            assert model_of(backend, f"native:{name}", case_of(*layers)).differences == {name}
        else:
            with pytest.raises(Unavailable, match=rf"{backend} has no {name} difference"):
                model_of(backend, f"native:{name}", case_of(*layers))


SCHEDULE = ExponentialDecay(0.1, 4, 0.5)


@pytest.mark.parametrize(
    ("backend", "case", "difference", "exists"),
    [
        ("torch", case_of(*POOL, classes=3), "loss", False),  # users of torch train classes on logits
        ("keras-tensorflow", case_of(*POOL, classes=3), "loss", True),
        ("torch", case_of(*POOL, optimizer=SGD()), "optimizer", False),
        ("torch", case_of(*POOL, optimizer=SGD(0.9)), "optimizer", False),  # the same changes at one rate
        ("torch", case_of(*POOL, optimizer=SGD(), learning_rate=SCHEDULE), "optimizer", False),
        ("torch", case_of(*POOL, optimizer=SGD(0.9), learning_rate=SCHEDULE), "optimizer", True),
        ("torch", case_of(*POOL, optimizer=SGD(), clipvalue=1.0), "optimizer", False),
        ("torch", case_of(*POOL, optimizer=SGD(), clipnorm=1.0), "optimizer", True),
        ("torch", case_of(*POOL, optimizer=AdamW()), "optimizer", True),
        ("keras-tensorflow", case_of(*POOL, optimizer=AdamW()), "embedding-gradient", True),
        ("keras-tensorflow", case_of(*POOL, optimizer=SGD(0.9)), "embedding-gradient", False),  # nothing is squared
        ("keras-tensorflow", case_of(*POOL, optimizer=SGD(), clipnorm=1.0), "embedding-gradient", True),
        ("tf-keras", case_of(*POOL), "embedding-gradient", False),
        ("tf-keras", case_of(*POOL, clipnorm=1.0), "embedding-gradient", True),  # clipped before it is summed
    ],
    ids=str,
)
def test_differences_exist_where_a_protocol_has_them(backend: str, case: Case, difference: str, exists: bool) -> None:
    assert (difference in model_of(backend, "native", case).differences) == exists


def test_native_but_for_a_difference_takes_the_others() -> None:
    every = model_of("torch", "native", case_of(*RNN)).differences
    assert model_of("torch", "native:-denormals", case_of(*RNN)).differences == every - {"denormals"}
    assert model_of("torch", "native:-init,-bias", case_of(*RNN)).differences == every - {*INITIAL, "bias"}


@pytest.mark.parametrize("backend", ["torch", "keras-tensorflow"])
def test_initial_weights_may_be_the_frameworks_own_for_one_kind_of_layer(backend: str) -> None:
    """They are those that the layer has when all are the framework's own."""
    case = case_of(*RNN)
    ours, theirs, mixed = (
        network_of(backend, model_of(backend, numerics, case)).get_weights()
        for numerics in ("matched", "native:init", "native:init:recurrent")
    )
    for number, (kept, drawn, found) in enumerate(zip(ours, theirs, mixed, strict=True)):
        np.testing.assert_array_equal(found, drawn if number in (1, 2, 3) else kept)
        assert np.any(drawn != kept) or number in (3, 5)  # biases may be zero under both


def test_a_difference_that_does_not_exist_is_refused_with_what_lacks_it() -> None:
    with pytest.raises(Unavailable, match=r"^torch has no embedding-gradient difference: it runs as matched"):
        model_of("torch", "native:init,embedding-gradient", case_of(*RNN))
    with pytest.raises(Unavailable, match=r"^torch has no init:recurrent difference in this case: "):
        model_of("torch", "native:init:recurrent", case_of(*POOL))
    with pytest.raises(Unavailable, match=r"^torch has no bias difference in this case: "):
        model_of("torch", "native:bias", case_of(*POOL))


def test_the_harness_shuffles_unless_the_framework_does() -> None:
    class Spy:
        def __init__(self) -> None:
            self.orders: list[Any] = []

        def train_epoch(self, x: Any, y: Any, rows: Any, masks: Any) -> Any:
            self.orders.append(rows)
            return type("Result", (), {"loss": 0.5, "accuracy": 0.5, "first_bad_step": None})

        def logits(self, x: Any) -> Any:
            return np.zeros(len(x))

        def get_weights(self) -> Any:
            return []

        def synchronize(self) -> None: ...

    case = case_of(*POOL, epochs=2)
    for numerics in ("matched", "native:order"):
        spy: Any = Spy()
        experiment = experiment_of(case, model_of("torch", numerics, case))
        Trainer(spy, experiment).train()
        shuffled = [experiment.order(epoch) for epoch in (1, 2)]
        np.testing.assert_array_equal(spy.orders, shuffled if numerics == "matched" else [np.arange(ROWS)] * 2)


# --- torch -------------------------------------------------------------------------------------------------------


def plain_torch(
    case: Case,
    body: Callable[..., Any],
    modules: Callable[[Any], list[Any]],
    optimizer_of: Callable[[Any, Any], Any] | None = None,
    clip: Callable[[Any, Any], Any] = lambda of, parameters: None,
) -> list[Any]:
    """Train as a torch user does: modules made after a manual seed, torch.optim, a loss of torch.nn, DataLoader."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(SEED)
    layers = torch.nn.ModuleList(modules(torch.nn))
    kind = torch.optim.Adam if case.training.optimizer == "adam" else torch.optim.RMSprop
    parameters = list(layers.parameters())
    optimizer = optimizer_of(torch.optim, parameters) if optimizer_of else kind(parameters, case.training.learning_rate)
    schedule, rate = None, case.training.learning_rate
    if isinstance(rate, ExponentialDecay):
        decay = rate.decay_rate ** (1 / rate.decay_steps)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    rows = torch.utils.data.TensorDataset(torch.from_numpy(rows_of(case)), torch.from_numpy(labels_of(case)))
    loader = torch.utils.data.DataLoader(rows, batch_size=case.training.batch_size, shuffle=True)
    for _ in range(case.training.epochs):
        for x, y in loader:
            optimizer.zero_grad()
            if case.classes:
                torch.nn.CrossEntropyLoss()(body(x, *layers), y.long()).backward()
            else:
                torch.nn.BCELoss()(torch.sigmoid(body(x, *layers))[:, 0], y).backward()
            clip(torch.nn.utils, parameters)
            optimizer.step()
            if schedule:
                schedule.step()
    trained = sum(parameter.numel() for parameter in parameters)
    moving = sum(buffer.numel() for buffer in layers.buffers() if buffer.is_floating_point())
    with torch.no_grad():
        logits = body(torch.from_numpy(rows_of(case)), *layers.eval()).numpy()
    return [logits if case.classes else logits[:, 0], trained, trained + moving]


def each_norm(of: Any, parameters: Any) -> None:
    for parameter in parameters:
        of.clip_grad_norm_([parameter], 0.05)


def pooled(classes: int) -> tuple[Any, Any]:
    return (
        lambda nn: [nn.Embedding(WORDS, 4), nn.Linear(4, classes)],
        lambda x, embedding, dense: dense(embedding(x).mean(1)),
    )


TORCH = {
    "lstm": (
        case_of(*STATES_DROPPED, optimizer="rmsprop", learning_rate=0.01),  # torch drops no states
        lambda nn: [nn.Embedding(WORDS, 4), nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 1)],
        lambda x, embedding, lstm, dense: dense(lstm(embedding(x))[0][:, -1]),
    ),
    "bidirectional rnn": (
        case_of(Embedding(WORDS, 4), Bidirectional(SimpleRNN(3)), learning_rate=0.01),
        lambda nn: [nn.Embedding(WORDS, 4), nn.RNN(4, 3, batch_first=True, bidirectional=True), nn.Linear(6, 1)],
        lambda x, embedding, rnn, dense: dense(rnn(embedding(x))[1].transpose(0, 1).flatten(1)),
    ),
    "gru": (
        case_of(*OLD_GRU, learning_rate=0.01),  # which torch has not: its own resets the state after the product
        lambda nn: [nn.Embedding(WORDS, 4), nn.GRU(4, 3, batch_first=True), nn.Linear(3, 1)],
        lambda x, embedding, gru, dense: dense(gru(embedding(x))[0][:, -1]),
    ),
    "lstm on numbers": (
        on_numbers(LSTM(3), learning_rate=0.01),
        lambda nn: [nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 1)],
        lambda x, lstm, dense: dense(lstm(x)[0][:, -1]),
    ),
    "convolution": (
        case_of(Embedding(WORDS, 4), Conv1D(5, 3, "relu"), Flatten(), Dense(6, "relu"), optimizer="rmsprop"),
        lambda nn: [nn.Embedding(WORDS, 4), nn.Conv1d(4, 5, 3), nn.Linear(35, 6), nn.Linear(6, 1)],
        lambda x, embedding, conv, dense, last: last(
            dense(conv(embedding(x).transpose(1, 2)).relu().transpose(1, 2).flatten(1)).relu()
        ),
    ),
    "normalization": (
        case_of(  # torch's batch normalization knows no masks
            Embedding(WORDS, 4, mask_zero=True),
            BatchNormalization(),
            MaxPooling1D(),
            Flatten(),
            LayerNormalization(),
            Dense(6, "gelu"),
            BatchNormalization(0.8, 0.01),  # declared, so that a port has them, too
            learning_rate=0.01,
        ),
        lambda nn: [
            nn.Embedding(WORDS, 4), nn.BatchNorm1d(4), nn.MaxPool1d(2), nn.LayerNorm(16), nn.Linear(16, 6), nn.GELU(),
            nn.BatchNorm1d(6, 0.01, 0.2), nn.Linear(6, 1),
        ],
        lambda x, embedding, batch, pool, layer, dense, gelu, last_batch, last: last(
            last_batch(gelu(dense(layer(pool(batch(embedding(x).transpose(1, 2))).transpose(1, 2).flatten(1)))))
        ),
    ),
    "classes": (
        case_of(*POOL, classes=CLASSES, optimizer=SGD(0.9), learning_rate=SCHEDULE, global_clipnorm=0.2),
        *pooled(CLASSES),
        lambda of, parameters: of.SGD(parameters, 0.1, momentum=0.9),
        lambda of, parameters: of.clip_grad_norm_(parameters, 0.2),
    ),
    "weight decay": (
        case_of(*POOL, optimizer=AdamW(), learning_rate=0.05, clipvalue=0.02),
        *pooled(1),
        lambda of, parameters: of.AdamW(parameters, 0.05),  # torch's default, as nothing else was said
        lambda of, parameters: of.clip_grad_value_(parameters, 0.02),
    ),
    "weight decay of the case": (
        case_of(*POOL, optimizer=AdamW(0.3), learning_rate=0.05, clipnorm=0.05),
        *pooled(1),
        lambda of, parameters: of.AdamW(parameters, 0.05, weight_decay=0.3),
        each_norm,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_a_native_torch_cell_is_what_ten_lines_of_torch_train(name: str) -> None:
    case, modules, body, *more = TORCH[name]
    logits, trainable, total = plain_torch(case, body, modules, *more)
    network = trained("torch", "native", case)
    np.testing.assert_allclose(network.logits(rows_of(case)), logits, rtol=1e-4, atol=1e-5)
    assert (network.parameters().total, network.parameters().trainable) == (total, trainable)


def test_both_biases_are_counted_and_trained_only_where_native_says_so() -> None:
    case = case_of(*RNN)
    matched, two_biases = (trained("torch", numerics, case) for numerics in ("matched", "native:bias"))
    assert (matched.parameters().total, matched.parameters().stored) == (160 + 96 + 4, 160 + 108 + 4)
    assert (two_biases.parameters().total, two_biases.parameters().stored) == (160 + 108 + 4, 160 + 108 + 4)
    start = network_of("torch", model_of("torch", "native:bias", case)).get_weights()[3]
    np.testing.assert_array_equal(start, [[0, 0, 0, 1, 1, 1, *[0] * 6], [0] * 12])
    moved = two_biases.get_weights()[3] - start
    assert np.abs(moved).min() > 0
    np.testing.assert_allclose(moved[0], moved[1], atol=1e-6)  # one gradient for both


@pytest.mark.parametrize("layer", [LSTM(3), SimpleRNN(3), Bidirectional(LSTM(3, return_sequences=True))])
def test_two_biases_of_the_generic_recurrence_are_those_of_the_fused_one(layer: Layer) -> None:
    case = case_of(Embedding(WORDS, 4), *((layer, LSTM(2)) if isinstance(layer, Bidirectional) else (layer,)))
    model = model_of("torch", "native:init,bias", case)
    fused, generic = (network_of("torch", model, kernel=kernel) for kernel in ("fused", "generic"))
    for fast, stepped in zip(fused.get_weights(), generic.get_weights(), strict=True):
        np.testing.assert_array_equal(fast, stepped)
    assert fused.parameters() == generic.parameters()
    fast, stepped = (network.gradients(X, Y, None) for network in (fused, generic))
    np.testing.assert_allclose(fast.logits, stepped.logits, rtol=1e-4, atol=1e-6)
    for expected, found in zip(fast.gradients, stepped.gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)


def test_torch_own_initialisers_alone_start_the_function_that_torch_starts() -> None:
    """With one bias in the model, it is the sum of the two that torch draws."""
    torch = pytest.importorskip("torch")
    case = case_of(*RNN)
    found = network_of("torch", model_of("torch", "native:init", case)).logits(X)
    torch.manual_seed(SEED)
    embedding, lstm, dense = torch.nn.Embedding(WORDS, 4), torch.nn.LSTM(4, 3, batch_first=True), torch.nn.Linear(3, 1)
    expected = dense(lstm(embedding(torch.from_numpy(X)))[0][:, -1])[:, 0]
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_pretrained_vectors_stay() -> None:
    from bench.spec import Glove

    for backend in ("torch", "keras-tensorflow"):
        case = case_of(Embedding(WORDS, 50, vectors=Glove(50), trainable=False), LSTM(3))
        model = model_of(backend, "native", case)
        network = BACKENDS[backend].load()(model, best_kernel(BACKENDS[backend], model, "cpu"), "cpu")
        vectors = RANDOM.rand(WORDS, 50).astype(np.float32)
        start = weights.initial(model, "suite/case", SEED, vectors)
        network.set_weights(start)
        network.initialize(SEED)
        drawn = network.get_weights()
        np.testing.assert_array_equal(drawn[0], vectors)
        assert np.all(drawn[1] != start[1])


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", SGD(0.9), AdamW()], ids=str)
def test_the_state_of_torchs_own_optimizer_comes_back(optimizer: Optimizer) -> None:
    model = model_of("torch", "native:optimizer", case_of(*RNN, optimizer=optimizer, learning_rate=SCHEDULE))
    one, other = network_of("torch", model), network_of("torch", model)
    assert int(one.get_optimizer_state()[0]) == 0
    one.train_step(X, Y, None)
    other.set_weights(one.get_weights())
    other.set_optimizer_state(one.get_optimizer_state())
    assert int(other.get_optimizer_state()[0]) == 1
    for network in (one, other):
        network.train_step(X, Y, None)
    for expected, found in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def multi_hot() -> MultiHot:
    return MultiHot(X.reshape(-1), np.arange(0, ROWS * LENGTH + 1, LENGTH), WORDS)


@pytest.mark.parametrize("backend", ["torch", "keras-tensorflow"])
def test_own_order_trains_every_row_once(backend: str) -> None:
    """Multi-hot rows, and rows with dropout masks: neither fits into what `fit` or a `TensorDataset` takes whole.

    Rows of numbers do.
    """
    pytest.importorskip("torch" if backend == "torch" else "tensorflow")
    wide = Case("case", Imdb(WORDS, encoding="multi-hot"), (Dense(1, "sigmoid"),), Training("adam", 1, 16))
    dropped = case_of(*POOL, Dropout(0.5))
    for case, x in ((wide, multi_hot()), (dropped, X), (on_numbers(LSTM(3)), FLOATS)):
        model = replace(model_of(backend, "native:order", case), learning_rate=0.0)
        network = network_of(backend, model)
        # Weights do not move, so the mean loss of an epoch is that of its rows, whatever their order.
        everything = np.arange(ROWS, dtype=np.intp)
        masks = mask_source(model, "suite/case", SEED, 1)
        losses = [network.train_epoch(x, Y, everything, masks).loss for _ in range(2)]
        if masks:
            assert losses[0] != losses[1]  # another order meets other masks
        else:
            expected = network.gradients(x[everything], Y, None).loss
            np.testing.assert_allclose(losses, expected, rtol=1e-5)


# --- Keras -------------------------------------------------------------------------------------------------------


def plain_keras(case: Case, *layers: Any) -> Any:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential([make() for make in layers])
    rate = case.training.learning_rate
    optimizer = {
        "adam": lambda: keras.optimizers.Adam(rate),
        "rmsprop": lambda: keras.optimizers.RMSprop(rate),
        SGD(0.9): lambda: keras.optimizers.SGD(
            keras.optimizers.schedules.ExponentialDecay(0.1, 4, 0.5), momentum=0.9, global_clipnorm=0.2
        ),
    }[case.training.optimizer]()
    loss = "sparse_categorical_crossentropy" if case.classes else "binary_crossentropy"
    model.compile(optimizer, loss=loss, metrics=["accuracy"])
    history = model.fit(
        rows_of(case), labels_of(case), batch_size=case.training.batch_size, epochs=case.training.epochs, verbose=0
    )
    return model, history.history


def test_a_native_keras_cell_on_numbers_is_what_a_sequential_model_trains() -> None:
    keras = pytest.importorskip("keras")
    case = on_numbers(LSTM(3), learning_rate=0.01)
    theirs, history = plain_keras(
        case, lambda: keras.layers.LSTM(3), lambda: keras.layers.Dense(1, activation="sigmoid")
    )
    ours = trained("keras-tensorflow", "native", case)
    for expected, found in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert len(history["loss"]) == 3


@pytest.mark.parametrize(
    "protocol",
    [
        {"optimizer": "adam", "learning_rate": 0.01},
        {"optimizer": "rmsprop", "learning_rate": 0.01},
        {"optimizer": SGD(0.9), "learning_rate": SCHEDULE, "global_clipnorm": 0.2, "classes": CLASSES},
    ],
    ids=str,
)
def test_a_native_keras_cell_is_what_a_sequential_model_trains(protocol: dict[str, Any]) -> None:
    keras = pytest.importorskip("keras")
    layers = keras.layers
    case = case_of(Embedding(WORDS, 4), LSTM(3), **protocol)
    theirs, history = plain_keras(
        case,
        lambda: layers.Embedding(WORDS, 4),
        lambda: layers.LSTM(3),
        lambda: layers.Dense(case.classes or 1, activation="softmax" if case.classes else "sigmoid"),
    )
    ours = trained("keras-tensorflow", "native", case)
    for expected, found in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    model = model_of("keras-tensorflow", "native", case)
    epochs = Trainer(network_of("keras-tensorflow", model), experiment_of(case, model)).train().epochs
    np.testing.assert_allclose([epoch.loss for epoch in epochs], history["loss"], rtol=1e-5)
    np.testing.assert_allclose([epoch.accuracy for epoch in epochs], history["accuracy"], rtol=1e-6)
    # Probabilities inside, logits outside.
    probabilities = theirs.predict(X, verbose=0)
    logits = ours.logits(X)
    found = np.exp(logits) if case.classes else 1 / (1 + np.exp(-logits[:, None]))
    np.testing.assert_allclose(found / (found.sum(1, keepdims=True) if case.classes else 1), probabilities, rtol=1e-4)


def test_gradients_of_the_loss_on_probabilities_are_those_on_logits_in_tensorflow() -> None:
    """TensorFlow recovers the logits behind a sigmoid: its loss on probabilities costs nothing (docs/numerics.md)."""
    pytest.importorskip("tensorflow")
    case = case_of(*POOL)
    one, other = (
        network_of("keras-tensorflow", model_of("keras-tensorflow", numerics, case)).gradients(X, Y, None)
        for numerics in ("matched", "native:loss")
    )
    assert one.loss == pytest.approx(other.loss, rel=1e-6)
    for expected, found in zip([one.logits, *one.gradients], [other.logits, *other.gradients], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_the_embedding_gradient_stays_sparse_only_where_native_says_so() -> None:
    """A word that occurs twice: mean of squares 0.1 (g1^2 + g2^2) instead of 0.1 (g1 + g2)^2 (docs/findings.md)."""
    pytest.importorskip("tensorflow")
    x, y = np.array([[1, 1, *range(2, LENGTH)]], np.int32), np.ones(1, np.float32)
    found = {}
    for numerics in ("matched", "native:embedding-gradient"):
        case = case_of(Embedding(WORDS, 1), GlobalAveragePooling1D(), optimizer="rmsprop")
        network = network_of("keras-tensorflow", model_of("keras-tensorflow", numerics, case))
        gradient = network.gradients(x, y, None).gradients[0][:, 0]
        network.train_step(x, y, None)
        found[numerics] = network.get_optimizer_state()[1][:, 0] / (0.1 * gradient[2] ** 2)
    np.testing.assert_allclose(found["matched"][1:3], [4, 1], rtol=1e-4)
    np.testing.assert_allclose(found["native:embedding-gradient"][1:3], [2, 1], rtol=1e-4)
