"""A sentiment classifier in Keras: the original of the port in `torch_model.py`."""

from __future__ import annotations

import keras
from keras import layers


def classifier():
    """Return the model: a bidirectional GRU over 60 words, a normalised hidden layer, one probability."""
    return keras.Sequential(
        [
            keras.Input((60,), dtype="int32"),
            layers.Embedding(5000, 32),
            layers.Bidirectional(layers.GRU(32)),
            layers.Dense(32),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def compiled(model):
    """Compile the model as it is trained."""
    model.compile(optimizer=keras.optimizers.RMSprop(learning_rate=1e-3), loss="binary_crossentropy")
