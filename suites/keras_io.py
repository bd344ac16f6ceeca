"""Code examples of Keras: two from keras.io, and the last multi-class one of its repository's examples/."""

from bench.spec import (
    KERAS_3,
    LSTM,
    ActivationLayer,
    Arrays,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Documented,
    Dropout,
    Embedding,
    Epoch,
    GlobalMaxPooling1D,
    Imdb,
    LastFraction,
    RandomRows,
    ReviewTexts,
    Score,
    Suite,
    TestSet,
    Training,
)

SUITE = Suite(
    "keras-io",
    document="keras.io",
    title="Keras code examples",
    author="François Chollet, Mark Omernick",
    year=2020,
    link="https://keras.io/examples/nlp/",
    era=KERAS_3,
    cases=(
        Case(
            "bidirectional-lstm",
            data=Imdb(num_words=20000, maxlen=200),
            layers=(
                Embedding(20000, 128),
                Bidirectional(LSTM(64, return_sequences=True)),
                Bidirectional(LSTM(64)),
                Dense(1, "sigmoid"),
            ),
            training=Training("adam", epochs=2, validation=TestSet()),
            documented=Documented(
                layers=(2_560_000, 98_816, 98_816, 129),
                total=2_757_761,
                trainable=2_757_761,
                frozen=0,
                epochs=(
                    Epoch(0.4697, 0.7540, 0.4202, 0.8269, seconds=61, step_ms=75),
                    Epoch(0.2263, 0.9151, 0.3650, 0.8428, seconds=54, step_ms=69),
                ),
                validation=Score(0.3650, 0.8428),
            ),
            notes=("Keras 3's progress bar prints a mean of running means as training loss and accuracy.",),
        ),
        Case(
            "text-from-scratch",
            data=ReviewTexts(num_words=20000, maxlen=500, padding="post", truncating="post"),
            layers=(
                Embedding(20000, 128),
                Dropout(0.5),
                Conv1D(128, 7, "relu", strides=3),
                Conv1D(128, 7, "relu", strides=3),
                GlobalMaxPooling1D(),
                Dense(128, "relu"),
                Dropout(0.5),
                Dense(1, "sigmoid"),
            ),
            training=Training("adam", epochs=3, validation=RandomRows(train=20000, validation=5000)),
            documented=Documented(
                epochs=(
                    Epoch(0.6121, 0.6082, 0.3313, 0.8589, seconds=5, step_ms=4),
                    Epoch(0.2748, 0.8855, 0.3499, 0.8662, seconds=2, step_ms=3),
                    Epoch(0.1432, 0.9463, 0.3789, 0.8758, seconds=2, step_ms=3),
                ),
                test=Score(0.3857, 0.8642),
            ),
            assumptions=(
                "words of Keras's Tokenizer, fitted on all training texts; the example's TextVectorization deletes "
                "punctuation, gives unknown words the id 1, and is fitted on the 20,000 texts that are trained on"
            ),
        ),
        Case(
            "reuters-mlp",
            data=Arrays("reuters.npz", "x_train", "y_train", shape=(1000,), test=("x_test", "y_test")),
            layers=(
                Dense(512),
                ActivationLayer("relu"),
                Dropout(0.5),
                Dense(46),
                ActivationLayer("softmax"),
            ),
            training=Training("adam", epochs=5, validation=LastFraction(0.1)),
            notes=("examples/reuters_mlp.py prints no figure. examples/reuters.py of this project makes reuters.npz.",),
        ),
    ),
)
