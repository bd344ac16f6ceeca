"""Parameters, FLOPs and bytes counted on the declaration, against printed summaries, torch's counter, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.cases.model import resolve
from bench.cases.parameters import parameters
from bench.measure.cost import step_cost, training_step
from bench.spec import (
    GRU,
    KERAS_2_0,
    LSTM,
    SGD,
    AdamW,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalMaxPooling1D,
    Glove,
    Imdb,
    Layer,
    LayerNormalization,
    MaxPooling1D,
    Optimizer,
    SimpleRNN,
    SpatialDropout1D,
    Suite,
    Training,
)
from tests.networks import LENGTH, WORDS, case, case_of_features, feature_rows, model_of, rows

CASE = Case(
    "lstm",
    data=Imdb(num_words=10000, maxlen=40),
    layers=(Embedding(10000, 50, vectors=Glove(50), trainable=False), LSTM(100), Dense(1, "sigmoid")),
    training=Training("adam", epochs=1),
)
SUITE = Suite("movies", document="003", title="workshop", era=KERAS_2_0, cases=(CASE,))


def test_counts_equal_the_summary_that_keras_printed() -> None:
    # Document 003, cell 41: total 560,501, trainable 60,501, non-trainable 500,000.
    counts = parameters(resolve(SUITE, CASE, "documented"))
    assert (counts.total, counts.trainable, counts.frozen) == (560_501, 60_501, 500_000)
    assert [(layer.name, layer.total, layer.trainable) for layer in counts.layers] == [
        ("embedding", 500_000, 0),
        ("lstm", 60_400, 60_400),
        ("dense", 101, 101),
    ]


def test_the_declaration_stores_what_the_model_has() -> None:
    counts = parameters(resolve(SUITE, CASE, "documented"))
    assert counts.stored == counts.total
    assert [layer.stored for layer in counts.layers] == [layer.total for layer in counts.layers]


ROWS = 16


@pytest.mark.parametrize(
    "layers",
    [
        (Embedding(WORDS, 5), Flatten(), Dense(7, "relu")),
        (Embedding(WORDS, 5), Conv1D(6, 3, "relu"), GlobalMaxPooling1D()),
        (Embedding(WORDS, 5), Conv1D(6, 3, "relu"), Conv1D(4, 2), Dropout(0.5), Flatten()),
        (Embedding(WORDS, 5), Conv1D(6, 4, "gelu", strides=2, padding="same"), MaxPooling1D(), Conv1D(4, 2), Flatten()),
        (
            Embedding(WORDS, 5),
            BatchNormalization(),
            SpatialDropout1D(0.5),
            AveragePooling1D(2, 1, "same"),
            Dense(4, "softmax"),
            LayerNormalization(),
            Flatten(),
        ),
        (Dense(8, "relu"), Dense(4, "relu")),
        (Embedding(WORDS, 5), SimpleRNN(6)),
        (Embedding(WORDS, 5), SimpleRNN(6, return_sequences=True), SimpleRNN(3)),
        (Embedding(WORDS, 5), Bidirectional(SimpleRNN(6)), Dense(4)),
        (Embedding(WORDS, 5), GRU(6, reset_after=True, recurrent_activation="sigmoid")),
    ],
    ids=lambda layers: "-".join(type(layer).__name__ for layer in layers),
)
def test_flops_of_a_step_are_those_that_torch_counts(layers: tuple[Layer, ...]) -> None:
    pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from bench.backends.torch.network import build

    multi_hot = isinstance(layers[0], Dense)
    model = model_of(case(*layers, multi_hot=multi_hot))
    network = build(model, "fused" if model.recurrent else "none", "cpu")
    x, y = rows(ROWS)
    if multi_hot:
        x = np.eye(*model.input_shape, dtype=np.float32)[x[:, 0]]
    with FlopCounterMode(display=False) as counted:
        network.gradients(x, y, None)
    assert step_cost(model, ROWS).flops == counted.get_total_flops()


@pytest.mark.parametrize(
    ("layer", "gates"), [(LSTM(6), 4), (GRU(6), 3), (GRU(6, reset_after=True), 3), (SimpleRNN(6), 1)]
)
@pytest.mark.parametrize("trainable", [True, False])
def test_flops_of_a_recurrence_by_hand(layer: Layer, gates: int, trainable: bool) -> None:
    model = model_of(case(Embedding(WORDS, 5, trainable=trainable), layer))
    counted = training_step(model, ROWS)[1]
    columns = gates * 6
    # At each of 9 steps: (16, 5) x (5, columns) of the input, (16, 6) x (6, columns) of the state.
    of_inputs, of_states = 2 * 16 * 9 * 5 * columns, 2 * 16 * 9 * 6 * columns
    assert counted.forward == of_inputs + of_states
    # The gradients of both matrices, of all states but the first, and of the inputs where anything before learns.
    back = of_inputs + of_states + of_states * 8 // 9 + (of_inputs if trainable else 0)
    assert counted.backward == back
    both = training_step(model_of(case(Embedding(WORDS, 5, trainable=trainable), Bidirectional(layer))), ROWS)[1]
    assert (both.forward, both.backward) == (2 * counted.forward, 2 * counted.backward)


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ((7,), (Dense(6, "relu"),)),
        ((7, 5), (Dense(6), Flatten())),
        ((7, 5), (Conv1D(6, 3), Flatten())),
        ((7, 5), (SimpleRNN(6, return_sequences=True), SimpleRNN(3))),
    ],
    ids=["dense", "dense-over-time", "convolution", "recurrent"],
)
def test_flops_of_a_step_on_numbers_are_those_that_torch_counts(
    shape: tuple[int, ...], layers: tuple[Layer, ...]
) -> None:
    pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from bench.backends.torch.network import build

    model = model_of(case_of_features(shape, *layers))
    network = build(model, "fused" if model.recurrent else "none", "cpu")
    given = feature_rows(*shape, number=ROWS)
    with FlopCounterMode(display=False) as counted:
        network.gradients(np.asarray(given.x), given.y, None)
    assert step_cost(model, ROWS).flops == counted.get_total_flops()


def test_bytes_of_a_step_on_numbers_by_hand() -> None:
    lstm, _ = training_step(model_of(case_of_features((7, 5), LSTM(6))), ROWS)
    x, h, gates, w = ROWS * 7 * 5, ROWS * 6, ROWS * 7 * 4 * 6, (5 + 6 + 1) * 4 * 6
    # Forward x, w, h and the gates of every step; backward dh, x, the gates, w read, dw written; Adam as above. Nothing
    # before the layer learns: no gradient of x.
    assert lstm.bytes == 4 * (x + w + h + gates + (h + x + gates + w + w) + 7 * w)


def test_bytes_of_a_step_by_hand() -> None:
    model = model_of(case(Dense(8, "relu"), multi_hot=True, optimizer="rmsprop"))
    hidden, logits = training_step(model, ROWS)
    (width,) = model.input_shape
    x, h, z, w, v = ROWS * width, ROWS * 8, ROWS, width * 8 + 8, 8 + 1
    # Forward x, w, h; backward dh, x, dw; optimizer dw, w, mean read, w, mean written.
    assert hidden.bytes == 4 * (x + w + h + (h + x + w) + 5 * w)
    # The same, and v is read again to write the gradient of h.
    assert logits.bytes == 4 * (h + v + z + (z + h + v) + v + h + 5 * v)


def test_bytes_of_normalizations_by_hand() -> None:
    model = model_of(case(Embedding(WORDS, 5), LayerNormalization(), BatchNormalization(), Flatten()))
    _, by_step, by_batch, *_ = training_step(model, ROWS)
    x, w = ROWS * LENGTH * 5, 2 * 5
    # Forward x, w, out; backward dout, x, w again, dw, dx; Adam.
    assert by_step.bytes == 4 * (x + w + x + (x + x + w + w + x) + 7 * w)
    # The moments of the batch need x once more, and their gradient x and dout; moving averages are read, not trained.
    assert by_batch.bytes == 4 * (by_step.bytes // 4 + x + 2 * x + 3 * w)
    assert by_step.flops == by_batch.flops == 0


def test_a_frozen_table_is_gathered_from_and_a_learned_one_is_updated_whole() -> None:
    def embedding(trainable: bool) -> int:
        return training_step(model_of(case(Embedding(WORDS, 5, trainable=trainable), Flatten())), ROWS)[0].bytes

    ids, vectors, table = ROWS * LENGTH, ROWS * LENGTH * 5, WORDS * 5
    assert embedding(trainable=False) == 4 * (ids + 2 * vectors)
    # Adam: gradient, weight and two means read, weight and two means written.
    assert embedding(trainable=True) == 4 * (2 * (ids + 2 * vectors) + table + 7 * table)


@pytest.mark.parametrize(("optimizer", "slots"), [(SGD(), 0), (SGD(0.9), 1), ("rmsprop", 1), ("adam", 2), (AdamW(), 2)])
def test_an_optimizer_moves_what_it_keeps_of_every_weight(optimizer: Optimizer, slots: int) -> None:
    def moved(optimizer: Optimizer) -> int:
        return sum(
            cost.bytes for cost in training_step(model_of(case(Dense(8), multi_hot=True, optimizer=optimizer)), 9)
        )

    weights = WORDS * 8 + 8 + 8 + 1
    assert moved(optimizer) - moved(SGD()) == 4 * 2 * slots * weights
