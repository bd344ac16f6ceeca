"""Embeddingi: recurrent networks on IMDB, a notebook in Polish; it names no author, year or address."""

from bench.spec import (
    KERAS_2_0,
    LSTM,
    Bidirectional,
    Case,
    Dense,
    Documented,
    EarlyStopping,
    Embedding,
    Epoch,
    Imdb,
    LastFraction,
    Requires,
    Score,
    SimpleRNN,
    Suite,
    Training,
)

IMDB = Imdb(num_words=5000, maxlen=400, train=5000, test=2000)
PATIENCE_5 = Training(
    "adam", epochs=100, batch_size=32, validation=LastFraction(0.25), early_stopping=EarlyStopping(patience=5)
)
PATIENCE_1 = Training(
    "adam", epochs=100, batch_size=32, validation=LastFraction(0.25), early_stopping=EarlyStopping(patience=1)
)

SUITE = Suite(
    "imdb-rnn",
    document="000",
    title="Embeddingi (Polish notebook)",
    era=KERAS_2_0,
    cases=(
        Case(
            "simple-rnn",
            data=IMDB,
            layers=(Embedding(5000, 32), SimpleRNN(100), Dense(1, "sigmoid")),
            training=PATIENCE_5,
            documented=Documented(
                layers=(160000, 13300, 101),
                total=173401,
                trainable=173401,
                frozen=0,
                epochs=(
                    Epoch(0.6929, 0.5320, 0.6845, 0.5568, seconds=26),
                    Epoch(0.6251, 0.6997, 0.6542, 0.6056, seconds=25),
                    Epoch(0.5279, 0.7717, 0.6418, 0.6024, seconds=25),
                    Epoch(0.5350, 0.7819, 0.6215, 0.6400, seconds=26),
                    Epoch(0.3823, 0.8344, 0.5384, 0.7504, seconds=26),
                    Epoch(0.2556, 0.9011, 0.5771, 0.7248, seconds=26),
                    Epoch(0.1807, 0.9344, 0.6936, 0.7416, seconds=25),
                    Epoch(0.0940, 0.9680, 0.7869, 0.7256, seconds=25),
                    Epoch(0.0469, 0.9872, 0.7189, 0.7704, seconds=25),
                    Epoch(0.0463, 0.9904, 0.8962, 0.7552, seconds=26),
                ),
                train=Score(0.23753432908952235, 0.9356),
                test=Score(0.9043297662734985, 0.7475),
            ),
            notes=("The documented train score is over all 5,000 training rows, the validation part included.",),
        ),
        Case(
            "simple-rnn-dense",
            data=IMDB,
            layers=(Embedding(5000, 32), SimpleRNN(100), Dense(50, "tanh"), Dense(1, "sigmoid")),
            training=PATIENCE_5,
            documented=Documented(
                layers=(160000, 13300, 5050, 51),
                total=178401,
                trainable=178401,
                frozen=0,
                epochs=(
                    Epoch(0.7024, 0.5072, 0.6954, 0.5072, seconds=13),
                    Epoch(0.7006, 0.5165, 0.6887, 0.5480, seconds=12),
                    Epoch(0.6892, 0.5349, 0.6845, 0.5544, seconds=12),
                    Epoch(0.6668, 0.5920, 0.6676, 0.5616, seconds=12),
                    Epoch(0.6063, 0.6795, 0.6780, 0.5896, seconds=12),
                    Epoch(0.5345, 0.7189, 0.7133, 0.5824, seconds=16),
                    Epoch(0.4854, 0.7456, 0.7807, 0.5768, seconds=16),
                    Epoch(0.4503, 0.7755, 0.7526, 0.5936, seconds=14),
                    Epoch(0.4077, 0.7915, 0.8054, 0.5976, seconds=15),
                ),
                test=Score(0.32980653083324435, 0.846),
                unjudged="The printed test score cannot come from the printed training run.",
            ),
            notes=(
                (
                    "The printed test accuracy 0.846 cannot come from the printed training run: its last validation "
                    "accuracy is 0.5976, and cells 28 to 30 follow each other. The cause is unknown."
                ),
            ),
        ),
        Case(
            "two-layer-rnn",
            data=IMDB,
            layers=(Embedding(5000, 32), SimpleRNN(100, return_sequences=True), SimpleRNN(50), Dense(1, "sigmoid")),
            training=PATIENCE_5,
            documented=Documented(
                layers=(160000, 13300, 7550, 51),
                total=180901,
                trainable=180901,
                frozen=0,
                epochs=(
                    Epoch(0.7007, 0.5037, 0.6911, 0.5144, seconds=26),
                    Epoch(0.6153, 0.6589, 0.7629, 0.5304, seconds=31),
                    Epoch(0.2996, 0.8824, 0.8891, 0.5312, seconds=29),
                    Epoch(0.0761, 0.9765, 1.5083, 0.5152, seconds=27),
                    Epoch(0.0236, 0.9949, 1.6281, 0.5304, seconds=31),
                    Epoch(0.0056, 0.9992, 1.9399, 0.5232, seconds=27),
                ),
                test=Score(1.9941312866210938, 0.5165),
            ),
        ),
        Case(
            "birnn",
            data=IMDB,
            layers=(
                Embedding(5000, 32),
                Bidirectional(SimpleRNN(100, return_sequences=True)),
                SimpleRNN(50),
                Dense(1, "sigmoid"),
            ),
            training=PATIENCE_5,
            documented=Documented(
                layers=(160000, 26600, 12550, 51),
                total=199201,
                trainable=199201,
                frozen=0,
                epochs=(
                    Epoch(0.7013, 0.5163, 0.6807, 0.5552, seconds=54),
                    Epoch(0.6301, 0.6480, 0.6615, 0.6312, seconds=52),
                    Epoch(0.4729, 0.7787, 0.7163, 0.6448, seconds=52),
                    Epoch(0.3517, 0.8525, 0.7211, 0.6632, seconds=53),
                    Epoch(0.2696, 0.8957, 0.7957, 0.6848, seconds=53),
                    Epoch(0.2045, 0.9245, 0.8354, 0.6864, seconds=53),
                    Epoch(0.1648, 0.9400, 0.9497, 0.6704, seconds=52),
                ),
                test=Score(1.004870327949524, 0.651),
            ),
        ),
        Case(
            "lstm",
            data=IMDB,
            layers=(Embedding(5000, 32), LSTM(100), Dense(1, "sigmoid")),
            training=PATIENCE_1,
            documented=Documented(
                layers=(160000, 53200, 101),
                total=213301,
                trainable=213301,
                frozen=0,
                epochs=(
                    Epoch(0.6797, 0.5995, 0.6361, 0.7200, seconds=57),
                    Epoch(0.4379, 0.8123, 0.4132, 0.8336, seconds=61),
                    Epoch(0.3032, 0.8880, 0.4614, 0.7856, seconds=57),
                ),
                test=Score(0.4555453841686249, 0.791),
            ),
            representative=("keras-tensorflow", "torch"),
        ),
        Case(
            "lstm-cudnn",
            data=IMDB,
            layers=(Embedding(5000, 32), LSTM(100, recurrent_activation="sigmoid"), Dense(1, "sigmoid")),
            training=PATIENCE_1,
            requires=Requires(kernel="fused", device="cuda"),
            notes=(
                "The document names this case, CuDNNLSTM in place of LSTM on a GPU, and prints no figure for it.",
                "CuDNNLSTM always has sigmoid gates.",
                "Keras's CuDNNLSTM trains two bias vectors (53,600 parameters; LSTM: 53,200); here one is trained.",
            ),
        ),
    ),
    notes=(
        "Training stops after 5 epochs (lstm: 1 epoch) without a lower validation loss.",
        "The document ran Keras 2.0.9 to 2.2: it names CuDNNLSTM, which 2.0.8 lacks, and 2.0.8 stops an epoch later.",
    ),
)
