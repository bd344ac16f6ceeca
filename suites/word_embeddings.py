"""Using word embeddings: a notebook with exercises, after chapter 6.1 of Deep Learning with Python.

It names no author; its printed downloads are dated March 2021.
"""

from bench.spec import (
    KERAS_2_3,
    LSTM,
    Case,
    Conv1D,
    Dense,
    Documented,
    Embedding,
    Epoch,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Glove,
    Imdb,
    LastFraction,
    RandomRows,
    ReviewTexts,
    Score,
    Suite,
    Training,
)

IMDB = Imdb(num_words=10000, maxlen=20)
SPLIT = Training("rmsprop", epochs=10, batch_size=32, validation=LastFraction(0.2))

TEXTS = ReviewTexts(num_words=10000, maxlen=100)
GLOVE = (
    Embedding(10000, 100, vectors=Glove(100), trainable=False),
    Flatten(),
    Dense(32, "relu"),
    Dense(1, "sigmoid"),
)
LEARNED = (Embedding(10000, 100), Flatten(), Dense(32, "relu"), Dense(1, "sigmoid"))


def sampled(rows: int) -> Training:
    """Return the training of the low-data cases: `rows` random rows to train, the next 10,000 to validate."""
    return Training("rmsprop", epochs=10, batch_size=32, validation=RandomRows(train=rows, validation=10000))


def more_samples(rows: int) -> tuple[Case, Case]:
    """Return the pair of the exercise "increase the number of training samples" for `rows` training rows."""
    note = (
        "The document leaves this as an exercise: with more training samples, pre-trained embeddings soon stop "
        "winning. It prints no result. The parameter counts are those of its printed model."
    )
    assumptions = f"{rows:,} training rows"
    return (
        Case(
            f"glove-{rows}",
            data=TEXTS,
            layers=GLOVE,
            training=sampled(rows),
            documented=Documented(layers=(1000000, 0, 320032, 33), total=1320065, trainable=320065, frozen=1000000),
            notes=(note,),
            assumptions=assumptions,
        ),
        Case(
            f"learned-{rows}",
            data=TEXTS,
            layers=LEARNED,
            training=sampled(rows),
            documented=Documented(layers=(1000000, 0, 320032, 33), total=1320065, trainable=1320065, frozen=0),
            notes=(note,),
            assumptions=assumptions,
        ),
    )


SUITE = Suite(
    "word-embeddings",
    document="001",
    title="Using word embeddings (notebook)",
    year=2021,
    link="https://github.com/fchollet/deep-learning-with-python-notebooks",
    era=KERAS_2_3,
    hardware="a machine with a GPU (Keras 2.3.0-tf)",
    cases=(
        Case(
            "embedding-flatten-dense",
            data=IMDB,
            layers=(Embedding(10000, 8), Flatten(), Dense(1, "sigmoid")),
            training=SPLIT,
            documented=Documented(
                layers=(80000, 0, 161),
                total=80161,
                trainable=80161,
                frozen=0,
                epochs=(
                    Epoch(0.6696, 0.6215, 0.6141, 0.7106, seconds=2, step_ms=4),
                    Epoch(0.5367, 0.7533, 0.5191, 0.7360, seconds=3, step_ms=5),
                    Epoch(0.4587, 0.7894, 0.4953, 0.7462, seconds=3, step_ms=5),
                    Epoch(0.4213, 0.8088, 0.4903, 0.7560, seconds=3, step_ms=4),
                    Epoch(0.3949, 0.8238, 0.4921, 0.7610, seconds=3, step_ms=4),
                    Epoch(0.3722, 0.8367, 0.4947, 0.7608, seconds=3, step_ms=4),
                    Epoch(0.3522, 0.8492, 0.4969, 0.7588, seconds=2, step_ms=4),
                    Epoch(0.3330, 0.8601, 0.5028, 0.7594, seconds=3, step_ms=4),
                    Epoch(0.3143, 0.8711, 0.5079, 0.7610, seconds=3, step_ms=4),
                    Epoch(0.2971, 0.8796, 0.5160, 0.7586, seconds=3, step_ms=5),
                ),
                step_ms=(4, 5),
            ),
        ),
        Case(
            "embedding-pool-dense",
            data=IMDB,
            layers=(Embedding(10000, 8), GlobalAveragePooling1D(), Dense(1, "sigmoid")),
            training=SPLIT,
            notes=("The document shows this model as option 1 and does not run it.",),
            assumptions="training as in embedding-flatten-dense",
        ),
        Case(
            "embedding-recurrent",
            data=IMDB,
            layers=(Embedding(10000, 8), LSTM(32), Dense(1, "sigmoid")),
            training=SPLIT,
            notes=("The document names this as option 2 (add a recurrent layer) and does not run it.",),
            assumptions="LSTM(32), and training as in embedding-flatten-dense",
        ),
        Case(
            "embedding-conv1d",
            data=IMDB,
            layers=(Embedding(10000, 8), Conv1D(32, 7, "relu"), GlobalMaxPooling1D(), Dense(1, "sigmoid")),
            training=SPLIT,
            notes=("The document names this as option 3 (add a 1D convolutional layer) and does not run it.",),
            assumptions=("Conv1D(32, 7, relu) and GlobalMaxPooling1D, and training as in embedding-flatten-dense"),
            representative=("torch",),
        ),
        Case(
            "glove-200",
            data=TEXTS,
            layers=GLOVE,
            training=sampled(200),
            documented=Documented(
                layers=(1000000, 0, 320032, 33),
                total=1320065,
                trainable=320065,
                frozen=1000000,
                epochs=(
                    Epoch(2.0225, 0.4800, 0.7286, 0.5077, seconds=1, step_ms=211),
                    Epoch(0.6273, 0.6750, 0.9464, 0.5046, seconds=2, step_ms=250),
                    Epoch(0.6680, 0.7000, 0.6979, 0.5248, seconds=2, step_ms=260),
                    Epoch(0.5253, 0.6750, 0.8610, 0.5046, seconds=1, step_ms=166),
                    Epoch(0.5288, 0.6950, 0.7361, 0.5085, seconds=2, step_ms=246),
                    Epoch(0.4491, 0.6950, 0.7009, 0.5337, seconds=1, step_ms=181),
                    Epoch(0.4431, 0.7700, 0.6998, 0.5427, seconds=2, step_ms=259),
                    Epoch(0.4451, 0.8050, 0.9960, 0.5053, seconds=2, step_ms=297),
                    Epoch(0.3991, 0.8350, 0.8773, 0.5075, seconds=2, step_ms=222),
                    Epoch(0.4066, 0.8300, 0.6917, 0.5645, seconds=1, step_ms=189),
                ),
                test=Score(0.6911874413490295, 0.5644000172615051),
                step_ms=(166, 297),
                evaluate_step_ms=3,
            ),
            notes=("The printed milliseconds per step include the validation on 10,000 rows after 7 training steps.",),
        ),
        Case(
            "learned-200",
            data=TEXTS,
            layers=LEARNED,
            training=sampled(200),
            documented=Documented(
                layers=(1000000, 0, 320032, 33),
                total=1320065,
                trainable=1320065,
                frozen=0,
                epochs=(
                    Epoch(0.6950, 0.4850, 0.6928, 0.5059, seconds=2, step_ms=248),
                    Epoch(0.5189, 0.9700, 0.6993, 0.5057, seconds=2, step_ms=258),
                    Epoch(0.3022, 0.9850, 0.6942, 0.5200, seconds=2, step_ms=282),
                    Epoch(0.1380, 1.0000, 0.7058, 0.5146, seconds=2, step_ms=275),
                    Epoch(0.0675, 1.0000, 0.7071, 0.5184, seconds=2, step_ms=253),
                    Epoch(0.0342, 1.0000, 0.7079, 0.5223, seconds=2, step_ms=309),
                    Epoch(0.0187, 1.0000, 0.7140, 0.5236, seconds=2, step_ms=225),
                    Epoch(0.0109, 1.0000, 0.7162, 0.5227, seconds=1, step_ms=207),
                    Epoch(0.0065, 1.0000, 0.7325, 0.5213, seconds=2, step_ms=258),
                    Epoch(0.0039, 1.0000, 0.7256, 0.5271, seconds=1, step_ms=164),
                ),
                step_ms=(164, 309),
            ),
            notes=("The printed milliseconds per step include the validation on 10,000 rows after 7 training steps.",),
        ),
        *more_samples(500),
        *more_samples(1000),
        *more_samples(2000),
        *more_samples(5000),
        *more_samples(10000),
    ),
    notes=(
        "Based on the code of Deep Learning with Python (François Chollet), chapter 6.1, to which the link leads.",
        "The raw texts are read in sorted path order, because the ranks of equally frequent words depend on it.",
        "The Tokenizer finds 88,582 unique tokens in the 25,000 training texts; a word without a vector stays zero.",
        "The document also shows texts_to_matrix(mode='binary') of the training texts, shape (25000, 10000).",
    ),
)
