"""The Keras side of every pair: models and how they are compiled, as their users write them."""

from __future__ import annotations

import keras
from keras import layers, ops
from keras.optimizers import schedules

# --- dense layers ------------------------------------------------------------------------------------------------


def mlp():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(5, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def regression():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="tanh"), layers.Dense(1)])


def classifier():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(3, "softmax")])


def classifier_logits():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(3)])


def penalised():
    penalty = keras.regularizers.L2(0.01)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="tanh", kernel_regularizer=penalty), layers.Dense(1)]
    )


def leaky():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8), layers.LeakyReLU(), layers.Dense(1)])


def gelu():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="gelu"), layers.Dense(1)])


def elu_selu():
    inputs = keras.Input((6,))
    x = layers.Dense(8)(inputs)
    x = layers.Activation("elu")(x)
    x = layers.Dense(8, activation="selu")(x)
    return keras.Model(inputs, layers.Dense(2, activation="hard_sigmoid")(x))


def dropout_mlp():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def batchnorm_mlp():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def batchnorm_twice():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(8, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def batchnorm_fast():
    """Forgets quickly: a momentum of 0.1 in Keras's sense is 0.9 in torch's."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(momentum=0.1, epsilon=1e-5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def layernorm_mlp():
    inputs = keras.Input((6,))
    x = layers.Dense(8)(inputs)
    x = layers.LayerNormalization()(x)
    x = layers.Activation("gelu")(x)
    return keras.Model(inputs, layers.Dense(1)(x))


def residual():
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu")(inputs)
    y = layers.Dense(8, activation="relu")(x)
    y = layers.Dense(8)(y)
    x = layers.Activation("relu")(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))


def two_towers():
    inputs = keras.Input((6,))
    left = layers.Dense(8, activation="relu")(inputs)
    right = layers.Dense(8, activation="tanh")(inputs)
    x = layers.Concatenate()([left, right])
    return keras.Model(inputs, layers.Dense(3)(x))


# --- convolutions ------------------------------------------------------------------------------------------------


def cnn():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )


def cnn_global():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(6, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )


def strided():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ]
    )


def strided_text():
    return keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(50, 6),
            layers.Conv1D(8, 5, strides=2, padding="same", activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def even_kernel():
    return keras.Sequential(
        [
            keras.Input((16, 4)),
            layers.Conv1D(8, 4, padding="same", activation="tanh"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1),
        ]
    )


def dilated():
    return keras.Sequential(
        [
            keras.Input((16, 4)),
            layers.Conv1D(8, 3, dilation_rate=2, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1),
        ]
    )


def conv_text():
    return keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(50, 6),
            layers.Conv1D(8, 3, activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(8, 3, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def conv_flatten():
    return keras.Sequential(
        [
            keras.Input((16, 4)),
            layers.Conv1D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def conv_lstm_bn():
    return keras.Sequential(
        [
            keras.Input((16, 4)),
            layers.Conv1D(8, 3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(0.25),
            layers.LSTM(6),
            layers.Dense(3, activation="softmax"),
        ]
    )


def conv_bn_relu():
    return keras.Sequential(
        [
            keras.Input((16, 4)),
            layers.Conv1D(8, 3),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
            layers.ReLU(),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1),
        ]
    )


def average_pool():
    return keras.Sequential(
        [
            keras.Input((16, 4)),
            layers.Conv1D(8, 3, activation="tanh"),
            layers.AveragePooling1D(3, strides=1, padding="same"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1),
        ]
    )


def average_pool_2d():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )


# --- recurrent layers --------------------------------------------------------------------------------------------


def embedding_lstm():
    return keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(50, 6),
            layers.LSTM(5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def masked_lstm():
    return keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(50, 6, mask_zero=True),
            layers.LSTM(5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def frozen_embedding():
    return keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(50, 6, trainable=False),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def embedding_average():
    return keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(50, 6),
            layers.GlobalAveragePooling1D(),
            layers.Dense(4, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def masked_average():
    return keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(50, 6, mask_zero=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def stacked_lstm():
    return keras.Sequential(
        [
            keras.Input((10, 4)),
            layers.LSTM(5, return_sequences=True),
            layers.LSTM(5),
            layers.Dense(3),
        ]
    )


def lstm():
    return keras.Sequential([keras.Input((10, 4)), layers.LSTM(5), layers.Dense(1)])


def lstm_hard_gates():
    return keras.Sequential(
        [keras.Input((10, 4)), layers.LSTM(5, recurrent_activation="hard_sigmoid"), layers.Dense(1)]
    )


def lstm_relu():
    return keras.Sequential([keras.Input((10, 4)), layers.LSTM(5, activation="relu"), layers.Dense(1)])


def lstm_backwards():
    return keras.Sequential([keras.Input((10, 4)), layers.LSTM(5, go_backwards=True), layers.Dense(1)])


def bilstm():
    return keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(50, 6),
            layers.Bidirectional(layers.LSTM(5)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def bigru_stacked():
    return keras.Sequential(
        [
            keras.Input((10, 4)),
            layers.Bidirectional(layers.GRU(5, return_sequences=True)),
            layers.Bidirectional(layers.GRU(5)),
            layers.Dense(3),
        ]
    )


def gru():
    return keras.Sequential([keras.Input((10, 4)), layers.GRU(5), layers.Dense(1)])


def gru_reset_before():
    return keras.Sequential([keras.Input((10, 4)), layers.GRU(5, reset_after=False), layers.Dense(1)])


def simple_rnn():
    return keras.Sequential([keras.Input((10, 4)), layers.SimpleRNN(5), layers.Dense(1)])


def birnn_relu():
    return keras.Sequential(
        [keras.Input((10, 4)), layers.Bidirectional(layers.SimpleRNN(5, activation="relu")), layers.Dense(1)]
    )


def tagger():
    return keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(50, 6),
            layers.Bidirectional(layers.LSTM(5, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(4, activation="softmax")),
        ]
    )


# --- attention ---------------------------------------------------------------------------------------------------


def attention_block():
    inputs = keras.Input((10, 8))
    attended = layers.MultiHeadAttention(num_heads=2, key_dim=4)(inputs, inputs)
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([inputs, attended]))
    hidden = layers.Dense(16, activation="relu")(x)
    hidden = layers.Dense(8)(hidden)
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, hidden]))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(2)(x))


class PositionalEmbedding(layers.Layer):
    """A layer of the user's own: ids and places, embedded and summed."""

    def __init__(self, length, words, features, **options):
        super().__init__(**options)
        self.words = layers.Embedding(words, features)
        self.places = layers.Embedding(length, features)
        self.length = length

    def call(self, ids):
        return self.words(ids) + self.places(ops.arange(self.length))


def nested():
    encoder = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(4, activation="relu")], name="encoder")
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(2, name="head")(encoder(inputs)))


# --- how they are compiled ---------------------------------------------------------------------------------------


def adam(model):
    model.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy")


def adam_classes(model):
    model.compile("adam", loss="sparse_categorical_crossentropy")


def adamw(model):
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.01), loss="binary_crossentropy")


def adamw_default(model):
    model.compile(keras.optimizers.AdamW(1e-3), loss="binary_crossentropy")


def rmsprop(model):
    model.compile("rmsprop", loss="binary_crossentropy")


def sgd(model):
    model.compile(keras.optimizers.SGD(0.1), loss="binary_crossentropy")


def sgd_default(model):
    model.compile("sgd", loss="binary_crossentropy")


def sgd_mse(model):
    model.compile(keras.optimizers.SGD(0.05), loss="mse")


def sgd_mae(model):
    model.compile(keras.optimizers.SGD(0.05), loss="mae")


def sgd_classes(model):
    model.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")


def sgd_onehot(model):
    model.compile(keras.optimizers.SGD(0.1), loss="categorical_crossentropy")


def sgd_logits(model):
    model.compile(
        keras.optimizers.SGD(0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def momentum(model):
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True), loss="binary_crossentropy")


def sgd_weight_decay(model):
    model.compile(keras.optimizers.SGD(0.1, weight_decay=0.01), loss="binary_crossentropy")


def clip_value(model):
    model.compile(keras.optimizers.SGD(0.1, clipvalue=0.01), loss="mse")


def clip_each(model):
    model.compile(keras.optimizers.SGD(0.1, clipnorm=0.05), loss="mse")


def clip_global(model):
    model.compile(keras.optimizers.SGD(0.1, global_clipnorm=0.1), loss="mse")


def exponential(model):
    rate = schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.8)
    model.compile(keras.optimizers.SGD(rate), loss="binary_crossentropy")


def adam_decaying(model):
    model.compile(keras.optimizers.Adam(schedules.ExponentialDecay(1e-3, 1, 0.5)), loss="binary_crossentropy")


def piecewise(model):
    rate = schedules.PiecewiseConstantDecay([3], [0.1, 0.01])
    model.compile(keras.optimizers.SGD(rate), loss="binary_crossentropy")


def cosine(model):
    model.compile(keras.optimizers.SGD(schedules.CosineDecay(0.1, 20)), loss="binary_crossentropy")


def fit_shuffled(model):
    sgd(model)
    return {"batch_size": 8}


def fit_in_order(model):
    sgd(model)
    return {"batch_size": 8, "shuffle": False}
