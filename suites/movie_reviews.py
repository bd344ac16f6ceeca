"""Recurrent neural networks and their modifications, a workshop; it names no author, year or address."""

from bench.spec import (
    GRU,
    KERAS_2_0,
    LSTM,
    ActivationLayer,
    Bidirectional,
    Case,
    Dense,
    Documented,
    Dropout,
    EarlyStopping,
    Embedding,
    Glove,
    LabelledCsv,
    Score,
    SimpleRNN,
    Suite,
    Training,
)

REVIEWS = LabelledCsv(
    file="movie_reviews.csv",
    num_words=10000,
    maxlen=40,
    filters='#$%&()*+-/:;<=>@[\\]^{|}~\t\n,.!"',
    remove="'",
    validation=0.1,
    split_seed=42,
)
TRAINING = Training(
    "adam",
    epochs=100,
    batch_size=1024,
    early_stopping=EarlyStopping(patience=5, monitor="val_accuracy"),
    checkpoint="val_accuracy",
)
NOT_PRINTED = "The document does not say whether its accuracies are of the last or of the best weights."
GLOVE = Embedding(10000, 50, vectors=Glove(50), trainable=False)
MASKED_GLOVE = Embedding(10000, 50, vectors=Glove(50), trainable=False, mask_zero=True)

SUITE = Suite(
    "movie-reviews",
    document="003",
    title="Recurrent neural networks and their modifications (workshop)",
    era=KERAS_2_0,
    cases=(
        Case(
            "simple-rnn",
            data=REVIEWS,
            layers=(GLOVE, SimpleRNN(100), Dense(1), ActivationLayer("sigmoid")),
            training=TRAINING,
            documented=Documented(
                layers=(500000, 15100, 101, 0),
                total=515201,
                trainable=15201,
                frozen=500000,
                train=Score(accuracy=0.7713),
                validation=Score(accuracy=0.7560),
                unjudged=NOT_PRINTED,
            ),
        ),
        Case(
            "lstm",
            data=REVIEWS,
            layers=(GLOVE, LSTM(100), Dense(1), ActivationLayer("sigmoid")),
            training=TRAINING,
            documented=Documented(
                layers=(500000, 60400, 101, 0),
                total=560501,
                trainable=60501,
                frozen=500000,
                train=Score(accuracy=0.8249),
                validation=Score(accuracy=0.7771),
                unjudged=NOT_PRINTED,
            ),
        ),
        Case(
            "gru",
            data=REVIEWS,
            layers=(GLOVE, GRU(100, reset_after=False), Dense(1), ActivationLayer("sigmoid")),
            training=TRAINING,
            documented=Documented(
                layers=(500000, 45300, 101, 0),
                total=545401,
                trainable=45401,
                frozen=500000,
                train=Score(accuracy=0.8238),
                validation=Score(accuracy=0.7849),
                unjudged=NOT_PRINTED,
            ),
            notes=("The GRU has reset_after=False and one bias vector, the default of standalone Keras (up to 2.3).",),
        ),
        Case(
            "modified-lstm",
            data=REVIEWS,
            layers=(
                MASKED_GLOVE,
                Dropout(0.2),
                LSTM(100, dropout=0.1, recurrent_dropout=0.1),
                Dropout(0.2),
                Dense(1),
                ActivationLayer("sigmoid"),
            ),
            training=TRAINING,
            documented=Documented(
                layers=(500000, 0, 60400, 0, 101, 0),
                total=560501,
                trainable=60501,
                frozen=500000,
                train=Score(accuracy=0.7899),
                validation=Score(accuracy=0.7981),
                unjudged=NOT_PRINTED,
            ),
        ),
        Case(
            "bidirectional-lstm",
            data=REVIEWS,
            layers=(
                MASKED_GLOVE,
                Dropout(0.2),
                Bidirectional(LSTM(100, dropout=0.1, recurrent_dropout=0.1)),
                Dropout(0.2),
                Dense(1),
                ActivationLayer("sigmoid"),
            ),
            training=TRAINING,
            documented=Documented(
                layers=(500000, 0, 120800, 0, 201, 0),
                total=621001,
                trainable=121001,
                frozen=500000,
                train=Score(accuracy=0.8155),
                validation=Score(accuracy=0.8010),
                unjudged=NOT_PRINTED,
            ),
        ),
        Case(
            "stacked-lstm",
            data=REVIEWS,
            layers=(
                MASKED_GLOVE,
                Dropout(0.2),
                LSTM(100, return_sequences=True, dropout=0.1, recurrent_dropout=0.1),
                LSTM(100, dropout=0.1, recurrent_dropout=0.1),
                Dropout(0.2),
                Dense(1),
                ActivationLayer("sigmoid"),
            ),
            training=TRAINING,
            documented=Documented(
                layers=(500000, 0, 60400, 80400, 0, 101, 0),
                train=Score(accuracy=0.7909),
                validation=Score(accuracy=0.7980),
                unjudged=NOT_PRINTED,
            ),
            notes=(
                "The printed summary is cut off after 'Total para': the document prints layer counts and no totals.",
            ),
        ),
    ),
    notes=(
        (
            "The document states its accuracies in its text and comments out the call of fit. It prints no epochs, and "
            "does not say whether the accuracies are of the last weights or of the checkpoint: both are recorded."
        ),
        "The checkpoint writes the weights with the best validation accuracy to a file; the model keeps its last ones.",
        (
            "In the document's data the word 'nice' has index 342 and occurs 3,846 times; 102 of the 9,999 words of "
            "ranks 1 to 9,999 have no vector."
        ),
        (
            "The document's data are unknown: its sample is one critic's sentence, and its printed ranks (a 2, and 3, "
            "that 11, with 13, on 19, characters 95, nice 342, dull 676) are neither those of aclImdb (and 2, a 3, "
            "that 12, with 15, on 20, characters 100, nice 327, dull 766) nor those of rt_polarity (a 2, and 3, "
            "that 8, with 13, on 20, characters 56, nice 704, dull 261)."
        ),
        (
            "aclImdb stands in by default; `--stand-in movie_reviews.csv=rt_polarity.csv.gz` takes 10,662 sentences in "
            "place of its 50,000 reviews."
        ),
        (
            "The document suggests varying ensembles, architecture, embedding width, dictionary size, sentence length "
            "and l1/l2 regularisation, which it says worsens the results."
        ),
    ),
)
