"""What `tests/benchmarks/determinism.py` trains again: a cell without a recurrent layer, an LSTM and a GRU."""

from bench.spec import GRU, KERAS_2_3, LSTM, Case, Dense, Embedded, Embedding, Flatten, Layer, Suite, Training


def _case(name: str, length: int, *layers: Layer) -> Case:
    data = Embedded(num_words=2000, maxlen=length)
    return Case(name, data, (*layers, Dense(1, "sigmoid")), Training("adam", epochs=1))


SUITE = Suite(
    "determinism",
    document="none",
    title="Cells that are trained again",
    era=KERAS_2_3,
    cases=(
        # Its product sums over 40 * 200 = 8,000 inputs: long enough to be shared out among threads.
        _case("dense", 40, Embedding(2000, 200), Flatten(), Dense(16, "relu")),
        _case("lstm", 12, Embedding(2000, 64), LSTM(64)),
        _case("gru", 12, Embedding(2000, 64), GRU(64, reset_after=False)),
    ),
)
