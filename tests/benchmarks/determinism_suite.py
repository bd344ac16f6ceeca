"""The cells whose trainings `tests/benchmarks/determinism.py` repeats."""

from bench.spec import GRU, KERAS_2_3, LSTM, Case, Dense, Embedded, Embedding, Flatten, Layer, Suite, Training


def _case(name: str, *layers: Layer) -> Case:
    data = Embedded(num_words=2000, maxlen=12)
    return Case(name, data, (Embedding(2000, 64), *layers, Dense(1, "sigmoid")), Training("adam", epochs=1))


SUITE = Suite(
    "determinism",
    document="none",
    title="Cells that are trained again",
    era=KERAS_2_3,
    cases=(
        _case("dense", Flatten(), Dense(128, "relu")),
        _case("lstm", LSTM(64)),
        _case("gru", GRU(64, reset_after=False)),
    ),
)
