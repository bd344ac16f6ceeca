"""LSTM-FCN, of Karim et al., "LSTM Fully Convolutional Networks for Time Series Classification" (2017).

A univariate series of 128 steps: an LSTM of 8 units reads it as one step of 128 features, three convolutions with batch
normalisation (128 of width 8, 256 of 5, 128 of 3) read it step by step. Adam of 1e-3.
"""

from __future__ import annotations

import keras
from keras import layers


def model(length=128, classes=5, cells=8):
    ip = layers.Input((1, length))
    x = layers.LSTM(cells)(ip)
    x = layers.Dropout(0.8)(x)

    y = layers.Permute((2, 1))(ip)
    for filters, width in ((128, 8), (256, 5), (128, 3)):
        y = layers.Conv1D(filters, width, padding="same", kernel_initializer="he_uniform")(y)
        y = layers.BatchNormalization()(y)
        y = layers.Activation("relu")(y)
    y = layers.GlobalAveragePooling1D()(y)

    return keras.Model(ip, layers.Dense(classes, activation="softmax")(layers.concatenate([x, y])))


def compiled(model):
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
