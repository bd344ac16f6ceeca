"""Deep Learning for Text, slides by Chien Chin Chen after the book of François Chollet (2017)."""

from bench.spec import (
    KERAS_2_3,
    LSTM,
    Case,
    Dense,
    Documented,
    Embedding,
    Epoch,
    FirstRows,
    Flatten,
    Imdb,
    RandomRows,
    Score,
    SimpleRNN,
    Suite,
    Training,
    Word2Vec,
)

MULTI_HOT = Imdb(num_words=10000, encoding="multi-hot")
FIRST_100 = Imdb(num_words=10000, maxlen=100, padding="post", truncating="post")

FOUR_EPOCHS = Training("rmsprop", epochs=4, batch_size=512)
FEW_REVIEWS = Training("rmsprop", epochs=10, batch_size=32, validation=RandomRows(train=200))

MULTI_HOT_LAYERS = (Dense(16, "relu"), Dense(16, "relu"), Dense(1, "sigmoid"))
LEARNED = (Embedding(10000, 300), Flatten(), Dense(16, "relu"), Dense(1, "sigmoid"))
WORD2VEC = (
    Embedding(10000, 300, vectors=Word2Vec(offset=0), trainable=False),
    Flatten(),
    Dense(16, "relu"),
    Dense(1, "sigmoid"),
)
WORD2VEC_ALIGNED = (
    Embedding(10000, 300, vectors=Word2Vec(offset=3), trainable=False),
    Flatten(),
    Dense(16, "relu"),
    Dense(1, "sigmoid"),
)

NEIGHBOURS = "4 epochs, batch 512: the setting of the neighbouring slides"
NOT_PRINTED = "The document prints neither epochs nor batch size."
FEW_EPOCHS = "10 epochs, batch 32 (4 epochs of batch 512 would be four updates)"
SELF_PRACTICE = (
    "The document leaves this comparison, on 200 random training reviews, as self-practice and prints no result. The "
    "parameter counts are those of its printed model."
)
MISPRINT = "The document prints 3,000 frozen parameters, a misprint: 10,000 x 300 = 3,000,000."
SHIFTED = (
    "The slide fills row word_index[word] of the matrix, but load_data gives ids of word_index[word] + 3: every "
    "word gets another word's vector."
)

SUITE = Suite(
    "text-networks",
    document="002",
    title="Deep Learning for Text (slides)",
    author="Chien Chin Chen",
    era=KERAS_2_3,
    cases=(
        Case(
            "multi-hot-dense",
            data=MULTI_HOT,
            layers=MULTI_HOT_LAYERS,
            training=FOUR_EPOCHS,
            documented=Documented(
                layers=(160016, 272, 17),
                total=160305,
                trainable=160305,
                frozen=0,
                epochs=(
                    Epoch(0.4435, 0.8278, seconds=0, step_ms=8),
                    Epoch(0.2574, 0.9091, seconds=0, step_ms=9),
                    Epoch(0.1984, 0.9285, seconds=0, step_ms=10),
                    Epoch(0.1657, 0.9422, seconds=0, step_ms=7),
                ),
                test=Score(0.3020, 0.8800),
                step_ms=(7, 10),
                evaluate_step_ms=1,
            ),
            notes=("The final model, trained on all 25,000 rows; the document prints its seconds as 0.",),
        ),
        Case(
            "multi-hot-dense-validated",
            data=MULTI_HOT,
            layers=MULTI_HOT_LAYERS,
            training=Training("rmsprop", epochs=20, batch_size=512, validation=FirstRows(10000)),
            documented=Documented(
                layers=(160016, 272, 17),
                total=160305,
                trainable=160305,
                frozen=0,
                epochs=(
                    Epoch(0.5190, 0.7760, 0.3935, 0.8715, seconds=1, step_ms=26),
                    Epoch(0.3138, 0.9026, 0.3204, 0.8778, seconds=1, step_ms=23),
                    Epoch(0.2302, 0.9289, 0.3065, seconds=1, step_ms=21),
                ),
                step_ms=(21, 26),
            ),
            notes=("The document prints epochs 1 to 3 of 20, the third without its validation accuracy.",),
        ),
        Case(
            "embedding-300",
            data=FIRST_100,
            layers=LEARNED,
            training=FOUR_EPOCHS,
            documented=Documented(
                layers=(3000000, 0, 480016, 17),
                total=3480033,
                trainable=3480033,
                frozen=0,
                test=Score(0.4876, 0.8033),
                evaluate_step_ms=2,
                unjudged=NOT_PRINTED,
            ),
            notes=(NOT_PRINTED,),
            assumptions=NEIGHBOURS,
        ),
        Case(
            "word2vec-300",
            data=FIRST_100,
            layers=WORD2VEC,
            training=FOUR_EPOCHS,
            documented=Documented(
                layers=(3000000, 0, 480016, 17),
                total=3480033,
                trainable=480033,
                frozen=3000,
                test=Score(0.4673, 0.7843),
                evaluate_step_ms=2,
                unjudged=NOT_PRINTED,
                misprint=MISPRINT,
            ),
            notes=(
                NOT_PRINTED,
                MISPRINT,
                SHIFTED,
                "The slide prints the test accuracy with two question marks: 0.7843 ??.",
            ),
            assumptions=NEIGHBOURS,
        ),
        Case(
            "word2vec-300-aligned",
            data=FIRST_100,
            layers=WORD2VEC_ALIGNED,
            training=FOUR_EPOCHS,
            notes=(
                "Not in the document: word2vec-300 with every word's own vector.",
                "Rows 0 to 3 of the matrix are zero; the word of rank r fills row r + 3.",
            ),
            assumptions=f"the case; {NEIGHBOURS}",
        ),
        Case(
            "embedding-200",
            data=FIRST_100,
            layers=LEARNED,
            training=FEW_REVIEWS,
            documented=Documented(layers=(3000000, 0, 480016, 17), total=3480033, trainable=3480033, frozen=0),
            notes=(SELF_PRACTICE,),
            assumptions=FEW_EPOCHS,
        ),
        Case(
            "word2vec-200",
            data=FIRST_100,
            layers=WORD2VEC,
            training=FEW_REVIEWS,
            documented=Documented(
                layers=(3000000, 0, 480016, 17),
                total=3480033,
                trainable=480033,
                frozen=3000,
                misprint=MISPRINT,
            ),
            notes=(SELF_PRACTICE, MISPRINT, SHIFTED),
            assumptions=FEW_EPOCHS,
        ),
        Case(
            "simple-rnn-16",
            data=FIRST_100,
            layers=(Embedding(10000, 16), SimpleRNN(16), Dense(1, "sigmoid")),
            training=FOUR_EPOCHS,
            documented=Documented(
                layers=(160000, 528, 17),
                total=160545,
                trainable=160545,
                frozen=0,
                epochs=(
                    Epoch(0.6044, 0.6842, seconds=1, step_ms=24),
                    Epoch(0.4726, 0.8109, seconds=1, step_ms=24),
                    Epoch(0.4022, 0.8500, seconds=1, step_ms=27),
                    Epoch(0.3501, 0.8723, seconds=1, step_ms=26),
                ),
                test=Score(0.4439, 0.8073),
                step_ms=(24, 27),
                evaluate_step_ms=3,
            ),
        ),
        Case(
            "lstm-16",
            data=FIRST_100,
            layers=(Embedding(10000, 16), LSTM(16), Dense(1, "sigmoid")),
            training=FOUR_EPOCHS,
            documented=Documented(test=Score(0.4360, 0.8044), evaluate_step_ms=7, unjudged=NOT_PRINTED),
            notes=(NOT_PRINTED,),
            assumptions=NEIGHBOURS,
            representative=("torch",),
        ),
    ),
)
