"""A suite of three cases, one of which has not run, and what its cells are called."""

from __future__ import annotations

from bench.spec import (
    KERAS_2_3,
    LSTM,
    Case,
    Dense,
    Documented,
    Embedding,
    Epoch,
    Flatten,
    Imdb,
    LastFraction,
    Score,
    Suite,
    Training,
)

DATA = Imdb(num_words=50, maxlen=10)


HOSTILE = 'a | b\nsecond line <img src=x onerror="alert(1)"> `tick *star* __init__ [text](javascript:x) &lt;'


FLAT = (Embedding(50, 8), Flatten(), Dense(1, "sigmoid"))


TRAINING = Training("adam", epochs=2, validation=LastFraction(0.25))


SUITE = Suite(
    "demo",
    document="9",
    title="Title | with <b>pipe</b>",
    era=KERAS_2_3,
    cases=(
        Case(
            "flat",
            data=DATA,
            layers=FLAT,
            training=TRAINING,
            documented=Documented(
                layers=(400, 0, 81),
                total=481,
                trainable=481,
                frozen=0,
                epochs=(
                    Epoch(0.6, 0.7, 0.5, 0.71, seconds=3, step_ms=4),
                    Epoch(0.5, 0.8, 0.4, 0.72, seconds=5, step_ms=6),
                ),
                test=Score(0.51, 0.7321),
            ),
            notes=(HOSTILE,),
            assumptions="the seed",
        ),
        Case(
            "lstm",
            data=DATA,
            layers=(Embedding(50, 8), LSTM(4), Dense(1, "sigmoid")),
            training=TRAINING,
            documented=Documented(test=Score(None, 0.9), unjudged="epochs not printed"),
            notes=(HOSTILE,),
        ),
        Case("idle", data=DATA, layers=FLAT, training=TRAINING),
    ),
)


ACCURACIES = {
    "keras-tensorflow": [0.7301, 0.7344, 0.7290, 0.7367, 0.7312],
    "torch": [0.8010, 0.8033, 0.7995, 0.8021, 0.8040],
}


def name(case: str, backend: str, seed: int, kernel: str = "none") -> str:
    return f"demo/{case}@{backend},{kernel},cpu,documented#{seed}"
