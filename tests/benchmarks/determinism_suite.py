"""The cells whose trainings `tests/benchmarks/determinism.py` repeats: small, but wide enough for several threads."""

from bench.spec import GRU, KERAS_2_3, LSTM, Case, Dense, Embedded, Embedding, Flatten, Layer, Suite, Training


def _case(name: str, *layers: Layer) -> Case:
    data = Embedded(num_words=10000, maxlen=40)
    return Case(name, data, (*layers, Dense(1, "sigmoid")), Training("adam", epochs=2))


SUITE = Suite(
    "determinism",
    document="none",
    title="Cells that are trained again",
    era=KERAS_2_3,
    cases=(
        _case("dense", Embedding(10000, 64), Flatten(), Dense(64, "relu")),
        _case("lstm", Embedding(10000, 32), LSTM(64)),
        _case("gru", Embedding(10000, 32), GRU(64, reset_after=False)),
    ),
)
