"""A suite that every plot has something to show of, and a plot by its name."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.plots.base import Plot
from bench.report.plots.registry import PLOTS
from bench.report.results import Results
from bench.report.style import style
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
    RandomRows,
    Suite,
    Training,
    Word2Vec,
)

DATA = Imdb(num_words=50, maxlen=10)
FLAT = (Embedding(50, 300), Flatten(), Dense(1, "sigmoid"))
FROZEN = (Embedding(50, 300, vectors=Word2Vec(), trainable=False), *FLAT[1:])
RECURRENT = (Embedding(50, 8), LSTM(4), Dense(1, "sigmoid"))
TRAINING = Training("adam", epochs=2, validation=LastFraction(0.25))
PRINTED = Documented(epochs=(Epoch(0.6, 0.7, 0.5, 0.71), Epoch(0.5, 0.8, 0.4, 0.72)))
SIZES = (20, 400)

SUITE = Suite(
    "demo",
    document="9",
    title="A document",
    era=KERAS_2_3,
    cases=(
        *(Case(f"flat-{i}", data=DATA, layers=FLAT, training=TRAINING, documented=PRINTED) for i in range(5)),
        Case("lstm", data=DATA, layers=RECURRENT, training=TRAINING),
        *(
            Case(f"{name}-{rows}", data=DATA, layers=layers, training=Training("adam", 1, validation=RandomRows(rows)))
            for rows in SIZES
            for name, layers in (("frozen", FROZEN), ("learned", FLAT))
        ),
    ),
)


def name(case: str, backend: str, seed: int = 0, kernel: str = "none") -> str:
    return f"demo/{case}@{backend},{kernel},cpu,documented#{seed}"


def plot(wanted: str) -> Plot:
    return next(plot for plot in PLOTS if plot.name == wanted)


def drawn(wanted: str, results: Results) -> Figure:
    with style("light"):
        return plot(wanted).draw(plot(wanted).frame(results), "light")
