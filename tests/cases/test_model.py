"""Shapes, counts and masks of built layers against summaries that Keras printed."""

from __future__ import annotations

import pytest

from bench.cases.model import DIFFERENCES, INITIAL, BuiltLayer, MaskSpec, build_layers, numerics_differences, resolve
from bench.errors import UsageError
from bench.spec import (
    GRU,
    KERAS_2_0,
    KERAS_2_3,
    LSTM,
    ActivationLayer,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Imdb,
    KerasEra,
    Layer,
    LayerNormalization,
    MaxPooling1D,
    SimpleRNN,
    SpatialDropout1D,
    Suite,
    Training,
)


def summary(layers: tuple[Layer, ...], *shape: int) -> list[tuple[tuple[int, ...], int]]:
    built = build_layers(layers, shape)
    return [(layer.output_shape, sum(weight.size for weight in layer.weights)) for layer in built]


@pytest.mark.parametrize(
    ("layers", "length", "printed"),
    [
        pytest.param(
            (Embedding(5000, 32), Bidirectional(SimpleRNN(100, return_sequences=True)), SimpleRNN(50), Dense(1)),
            400,
            [((400, 32), 160000), ((400, 200), 26600), ((50,), 12550), ((1,), 51)],
            id="document 000, cell 47",
        ),
        pytest.param(
            (Embedding(10000, 8), Flatten(), Dense(1)),
            20,
            [((20, 8), 80000), ((160,), 0), ((1,), 161)],
            id="document 001, cell 8",
        ),
        pytest.param(
            (Embedding(10000, 50), GRU(100, reset_after=False), Dense(1), ActivationLayer("sigmoid")),
            40,
            [((40, 50), 500000), ((100,), 45300), ((1,), 101), ((1,), 0)],
            id="document 003, cell 42",
        ),
        pytest.param(
            (
                Embedding(10000, 50),
                Dropout(0.2),
                Bidirectional(LSTM(100, dropout=0.1, recurrent_dropout=0.1)),
                Dropout(0.2),
                Dense(1),
            ),
            40,
            [((40, 50), 500000), ((40, 50), 0), ((200,), 120800), ((200,), 0), ((1,), 201)],
            id="document 003, cell 44",
        ),
        pytest.param(
            (
                Embedding(10000, 128),
                Conv1D(32, 7, "relu"),
                MaxPooling1D(5),
                Conv1D(32, 7, "relu"),
                GlobalMaxPooling1D(),
                Dense(1),
            ),
            500,
            [((500, 128), 1280000), ((494, 32), 28704), ((98, 32), 0), ((92, 32), 7200), ((32,), 0), ((1,), 33)],
            id="Deep Learning with Python, 1st ed., 6.4.3",
        ),
        pytest.param(
            (Embedding(10000, 8), GlobalAveragePooling1D(), Dense(1)),
            20,
            [((20, 8), 80000), ((8,), 0), ((1,), 9)],
            id="document 001, option 1 (shapes in its comments)",
        ),
    ],
)
def test_summaries_equal_those_that_keras_printed(
    layers: tuple[Layer, ...], length: int, printed: list[tuple[tuple[int, ...], int]]
) -> None:
    assert summary(layers, length) == printed


def test_multi_hot_rows_feed_dense_layers() -> None:
    # Document 002, cell 9.
    layers = (Dense(16, "relu"), Dense(16, "relu"), Dense(1))
    assert summary(layers, 10000) == [((16,), 160016), ((16,), 272), ((1,), 17)]


def test_a_gru_that_resets_after_has_two_biases() -> None:
    # semantics of Keras >= 2.3: biases 2 x 3u instead of 3u.
    one, two = (summary((Embedding(10, 50), GRU(100, reset_after=after)), 4)[1][1] for after in (False, True))
    assert two - one == 3 * 100


@pytest.mark.parametrize(
    ("layer", "steps"),
    [
        # keras.io: ⌊(n - size) / strides⌋ + 1 and ⌊(n - 1) / strides⌋ + 1
        (MaxPooling1D(), 5),
        (AveragePooling1D(3, 2), 5),
        (MaxPooling1D(3, 2, "same"), 6),
        (AveragePooling1D(20, 4, "same"), 3),
        (Conv1D(8, 4, strides=3), 3),
        (Conv1D(8, 4, strides=3, padding="same"), 4),
        (Conv1D(8, 12), 0),
        (MaxPooling1D(11), 1),
    ],
)
def test_windows_are_as_many_as_keras_documents(layer: Layer, steps: int) -> None:
    if not steps:
        with pytest.raises(UsageError, match="layer conv1d: kernel_size 12 exceeds the 11 steps of its input; make it"):
            build_layers((Embedding(10, 4), layer), (11,))
        return
    assert build_layers((Embedding(10, 4), layer), (11,))[1].output_shape == (
        steps,
        8 if isinstance(layer, Conv1D) else 4,
    )


def test_half_the_weights_of_batch_normalization_are_not_trained() -> None:
    normalized, stepwise = (built(layer) for layer in (BatchNormalization(0.9), LayerNormalization()))
    # keras.io: a BatchNormalization of 50 features has 200 parameters, 100 of them not trainable.
    assert [(weight.size, weight.trainable, weight.momentum) for weight in normalized.weights] == [
        (50, True, None), (50, True, None), (50, False, 0.9), (50, False, 0.9)
    ]  # fmt: skip
    assert [weight.name for weight in normalized.weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [(weight.size, weight.trainable) for weight in stepwise.weights] == [(50, True), (50, True)]
    assert normalized.output_shape == stepwise.output_shape == (40, 50)


def test_layers_are_named_as_keras_names_them_and_counted_by_kind() -> None:
    layers = (
        Embedding(10, 4),
        SimpleRNN(3, return_sequences=True),
        SimpleRNN(3, return_sequences=True),
        GlobalAveragePooling1D(),
        Dense(1),
        ActivationLayer("sigmoid"),
    )
    names = [layer.name for layer in build_layers(layers, (5,))]
    assert names == ["embedding", "simple_rnn", "simple_rnn_2", "global_average_pooling1d", "dense", "activation"]


def built(layer: Layer) -> BuiltLayer:
    return build_layers((Embedding(10, 50), layer), (40,))[1]


def test_dropout_masks_follow_keras() -> None:
    # One input mask shared by the gates, one per gate as soon as recurrent_dropout is on; the state's always per gate.
    assert built(Dropout(0.2)).masks == (MaskSpec((40, 50), 0.2),)
    assert built(SpatialDropout1D(0.2)).masks == (MaskSpec((1, 50), 0.2),)
    assert built(SpatialDropout1D(0.0)).masks == built(BatchNormalization()).masks == ()
    assert built(LSTM(100, dropout=0.1)).masks == (MaskSpec((1, 50), 0.1),)
    assert built(LSTM(100, recurrent_dropout=0.3)).masks == (MaskSpec((4, 100), 0.3),)
    both = (MaskSpec((3, 50), 0.1), MaskSpec((3, 100), 0.3))
    assert built(GRU(100, dropout=0.1, recurrent_dropout=0.3)).masks == both
    assert built(Bidirectional(GRU(100, dropout=0.1, recurrent_dropout=0.3))).masks == both + both
    assert built(LSTM(100)).masks == ()


def test_frozen_embeddings_hold_frozen_weights_and_biases_start_as_keras_starts_them() -> None:
    frozen = build_layers((Embedding(10, 4, trainable=False),), (5,))[0].weights[0]
    assert (frozen.shape, frozen.trainable) == ((10, 4), False)
    assert [weight.initializer for weight in built(LSTM(3)).weights] == ["glorot_uniform", "orthogonal", "lstm_bias"]
    assert [weight.initializer for weight in built(GRU(3)).weights] == ["glorot_uniform", "orthogonal", "zeros"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((Embedding(10, 4), Flatten(), LSTM(3)), r"layer lstm needs \(time, features\)"),
        ((Embedding(10, 4), LSTM(3), LSTM(3)), r"return_sequences"),
        ((Embedding(10, 4), Conv1D(3, 6)), r"kernel_size 6 exceeds the 5 steps"),
        (
            (Embedding(10, 4), MaxPooling1D(), MaxPooling1D(3)),
            r"max_pooling1d_2: pool_size 3 exceeds the 2 steps .* padding='same', or keep more steps",
        ),
        ((Embedding(10, 4), Flatten(), SpatialDropout1D(0.2)), r"layer spatial_dropout1d needs \(time, features\)"),
    ],
)
def test_impossible_stacks_say_which_layer_and_what_to_do(layers: tuple[Layer, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_layers(layers, (5,))


def test_a_stack_without_one_logit_per_row_is_refused() -> None:
    case = Case(
        "case",
        data=Imdb(num_words=10, maxlen=5),
        layers=(Embedding(10, 4), Dense(1, "sigmoid")),
        training=Training("rmsprop", epochs=1),
    )
    suite = Suite("suite", document="0", title="title", era=KERAS_2_3, cases=(case,))
    with pytest.raises(UsageError, match=r"gives shape \(5, 1\) for a row, not one logit; put Flatten"):
        resolve(suite, case, "documented")


# --- numerics ----------------------------------------------------------------------------------------------------


def suite(era: KerasEra, *layers: Layer) -> Suite:
    case = Case(
        "case",
        data=Imdb(num_words=10, maxlen=5),
        layers=(Embedding(10, 4), *layers),
        training=Training("rmsprop", epochs=1),
    )
    return Suite("suite", document="0", title="title", era=era, cases=(case,))


def gates(era: KerasEra, numerics: str, layer: LSTM | Bidirectional) -> str | None:
    declared = suite(era, layer, Dense(1, "sigmoid"))
    (found,) = resolve(declared, declared.cases[0], numerics).recurrent
    assert isinstance(found, LSTM)
    return found.recurrent_activation


def test_documented_numerics_take_the_formulas_of_the_documents_keras() -> None:
    assert gates(KERAS_2_0, "documented", LSTM(3)) == "hard_sigmoid_keras2"
    assert gates(KERAS_2_0, "documented", Bidirectional(LSTM(3))) == "hard_sigmoid_keras2"
    assert gates(KERAS_2_3, "documented", LSTM(3)) == "sigmoid"
    assert gates(KERAS_2_0, "matched", LSTM(3)) == gates(KERAS_2_0, "native", LSTM(3)) == "sigmoid"
    assert gates(KERAS_2_0, "documented", LSTM(3, recurrent_activation="sigmoid")) == "sigmoid"
    declared = suite(KERAS_2_3, LSTM(3), Dense(1, "sigmoid"))
    epsilons = [
        resolve(declared, declared.cases[0], name).rmsprop_epsilon for name in ("documented", "matched", "native")
    ]
    assert epsilons == ["outside", "inside", "inside"]


@pytest.mark.parametrize("ending", [(Dense(1, "sigmoid"),), (Dense(1), ActivationLayer("sigmoid"))])
def test_models_end_in_logits(ending: tuple[Layer, ...]) -> None:
    declared = suite(KERAS_2_3, Flatten(), *ending)
    last = resolve(declared, declared.cases[0], "documented").layers[-1].layer
    assert isinstance(last, Dense | ActivationLayer)
    assert last.activation == "linear"


def test_native_numerics_may_name_single_differences() -> None:
    assert numerics_differences("documented") == numerics_differences("matched") == frozenset()
    assert numerics_differences("native") == frozenset(DIFFERENCES)
    assert numerics_differences("native:init,optimizer") == {*INITIAL, "optimizer"}
    assert numerics_differences("native:-init,-order") == set(DIFFERENCES) - {*INITIAL, "order"}


@pytest.mark.parametrize("name", ["documentd", "native:", "native:inits", "matched:init"])
def test_unknown_numerics_are_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=name.partition(":")[2] or name):
        numerics_differences(name)
