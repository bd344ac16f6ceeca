"""Keras 2 itself (tf_keras): `fit`, its callbacks and `evaluate` on the trainings of test_protocol_oracle.py.

Reads trainings as a JSON object and prints what each gave as another. Nothing of twinbench is imported, and Keras 3
never: it runs in a process of its own. A training is written as its document writes it, but for one thing: the inputs
are numbers of rows. Keras splits and batches numbers, `Numbered` puts the rows in, and so sees which rows Keras chose.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

Outcome = dict[str, Any]


def outcome(training: dict[str, Any], folder: Path) -> Outcome:
    """Return the rows, the epochs and the scores of one training."""
    classes = training["classes"]
    x, y = np.array(training["x"], np.int32), np.array(training["y"], np.int32 if classes else np.float32)
    ends = np.cumsum(training["parts"])
    everything, held, test = np.split(np.arange(ends[-1]), ends[:-1])
    seen: dict[str, list[int]] = {}

    class Numbered(tf_keras.Model):
        """A model of rows by their numbers; place p of an epoch is trained on as the order of that epoch says."""

        def train_step(self, data: Any) -> Any:
            numbers, start = data[0].numpy(), len(seen["trained"])
            seen["trained"].extend(numbers.tolist())
            rows = given[seen["order"][start : start + len(numbers)]]
            return super().train_step((tf.constant(x[rows]), tf.constant(y[rows])))

        def test_step(self, data: Any) -> Any:
            numbers, labels = data
            seen["scored"].extend(numbers.numpy().tolist())
            return super().test_step((tf.constant(x[numbers.numpy()]), labels))

    def begin(epoch: int, logs: object = None) -> None:
        seen.update(order=training["orders"][epoch], trained=[], scored=[])

    validation: dict[str, Any] = {}
    match training["validation"]:
        case None:
            given = everything
        case ["LastFraction", fraction]:
            given, held, validation = everything, held[:0], {"validation_split": fraction}
        case ["FirstRows", rows]:
            given, held = everything[rows:], everything[:rows]
        case ["RandomRows", shuffling, rows, held_rows]:
            shuffled = everything[shuffling]
            given, held = shuffled[:rows], shuffled[rows : rows + held_rows]
        case ["TestSet"]:
            given, held = everything, test
    if len(held):
        validation = {"validation_data": (held, y[held])}

    layers = tf_keras.layers
    inputs = tf_keras.Input((x.shape[1],), dtype="int32")
    embedded = layers.Embedding(*np.shape(training["weights"][0]))(inputs)
    last = layers.Dense(classes, activation="softmax") if classes else layers.Dense(1, activation="sigmoid")
    model = Numbered(inputs, last(layers.Flatten()(embedded)))
    model.set_weights([np.array(weight, np.float32) for weight in training["weights"]])
    optimizer = getattr(tf_keras.optimizers.legacy, training["optimizer"])(training["learning_rate"])
    loss = "sparse_categorical_crossentropy" if classes else "binary_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], run_eagerly=True)

    callbacks = [tf_keras.callbacks.LambdaCallback(on_epoch_begin=begin)]
    if training["early_stopping"]:
        callbacks.append(tf_keras.callbacks.EarlyStopping(**training["early_stopping"]))
    if training["checkpoint"]:
        options = {"monitor": training["checkpoint"], "save_best_only": True, "save_weights_only": True}
        callbacks.append(tf_keras.callbacks.ModelCheckpoint(str(folder / "{epoch}.h5"), **options))
    history = model.fit(
        given,
        y[given],
        epochs=training["epochs"],
        batch_size=training["batch_size"],
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
        **validation,
    ).history

    trained, validated = sorted(seen["trained"]), list(seen["scored"])
    parts = {"train": given, "validation": np.array(validated, int), "test": test}

    def scores(weights: str) -> Outcome:
        return {
            f"{weights} {part}": model.evaluate(rows, y[rows], verbose=0) for part, rows in parts.items() if len(rows)
        }

    found = {"rows trained on": trained, "rows validated on": validated, **history, **scores("last")}
    if saved := [int(path.stem) for path in folder.iterdir()]:
        model.load_weights(str(folder / f"{max(saved)}.h5"))
        found |= {"best epoch": max(saved), **scores("best")}
    return found


def main() -> None:
    """Print the outcome of every training by its name."""
    found = {}
    for name, training in json.load(sys.stdin).items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = outcome(training, Path(folder))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
