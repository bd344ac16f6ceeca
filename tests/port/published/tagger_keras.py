"""The BI-LSTM tagger of Huang, Xu and Yu, "Bidirectional LSTM-CRF Models for Sequence Tagging" (2015).

Words in 50 dimensions, 300 units a direction, a softmax over the 9 tags of CoNLL-2003 at every word, SGD of 0.1.
"""

from __future__ import annotations

import keras
from keras import layers


def model():
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(20000, 50),
            layers.Bidirectional(layers.LSTM(300, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(9, activation="softmax")),
        ]
    )


def compiled(model):
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
