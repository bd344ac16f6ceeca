"""The suites against a second, independent transcription of what their documents print."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bench import spec
from bench.cases.catalog import load
from bench.cases.model import resolve
from bench.cases.parameters import parameters
from bench.spec import Case, Documented, Epoch, Suite

CATALOG = load()
CASES = {f"{suite.name}/{case.name}": (suite, case) for suite, case in CATALOG.cases()}

# case | printed counts of layers that have any | total | trainable | frozen
COUNTS = """
imdb-rnn/simple-rnn | 160000 13300 101 | 173,401 | 173,401 | 0
imdb-rnn/simple-rnn-dense | 160000 13300 5050 51 | 178,401 | 178,401 | 0
imdb-rnn/two-layer-rnn | 160000 13300 7550 51 | 180,901 | 180,901 | 0
imdb-rnn/birnn | 160000 26600 12550 51 | 199,201 | 199,201 | 0
imdb-rnn/lstm | 160000 53200 101 | 213,301 | 213,301 | 0
word-embeddings/embedding-flatten-dense | 80000 161 | 80,161 | 80,161 | 0
word-embeddings/glove-200 | 1000000 320032 33 | 1,320,065 | 320,065 | 1,000,000
word-embeddings/learned-200 | 1000000 320032 33 | 1,320,065 | 1,320,065 | 0
text-networks/multi-hot-dense | 160016 272 17 | 160,305 | 160,305 | 0
text-networks/multi-hot-dense-validated | 160016 272 17 | 160,305 | 160,305 | 0
text-networks/embedding-300 | 3000000 480016 17 | 3,480,033 | 3,480,033 | 0
text-networks/word2vec-300 | 3000000 480016 17 | 3,480,033 | 480,033 | 3,000
text-networks/simple-rnn-16 | 160000 528 17 | 160,545 | 160,545 | 0
movie-reviews/simple-rnn | 500000 15100 101 | 515,201 | 15,201 | 500,000
movie-reviews/lstm | 500000 60400 101 | 560,501 | 60,501 | 500,000
movie-reviews/gru | 500000 45300 101 | 545,401 | 45,401 | 500,000
movie-reviews/modified-lstm | 500000 60400 101 | 560,501 | 60,501 | 500,000
movie-reviews/bidirectional-lstm | 500000 120800 201 | 621,001 | 121,001 | 500,000
movie-reviews/stacked-lstm | 500000 60400 80400 101 | - | - | -
keras-io/bidirectional-lstm | 2560000 98816 98816 129 | 2,757,761 | 2,757,761 | 0
"""

# case | printed epochs | last line: loss acc val_loss val_acc | seconds of an epoch | ms of a step
TRAININGS = """
imdb-rnn/simple-rnn | 10 | .0463 .9904 .8962 .7552 | 25-26 | -
imdb-rnn/simple-rnn-dense | 9 | .4077 .7915 .8054 .5976 | 12-16 | -
imdb-rnn/two-layer-rnn | 6 | .0056 .9992 1.9399 .5232 | 26-31 | -
imdb-rnn/birnn | 7 | .1648 .9400 .9497 .6704 | 52-54 | -
imdb-rnn/lstm | 3 | .3032 .8880 .4614 .7856 | 57-61 | -
word-embeddings/embedding-flatten-dense | 10 | .2971 .8796 .5160 .7586 | 2-3 | 4-5
word-embeddings/glove-200 | 10 | .4066 .8300 .6917 .5645 | 1-2 | 166-297
word-embeddings/learned-200 | 10 | .0039 1.0 .7256 .5271 | 1-2 | 164-309
text-networks/multi-hot-dense | 4 | .1657 .9422 - - | 0-0 | 7-10
text-networks/multi-hot-dense-validated | 3 | .2302 .9289 .3065 - | 1-1 | 21-26
text-networks/simple-rnn-16 | 4 | .3501 .8723 - - | 1-1 | 24-27
keras-io/bidirectional-lstm | 2 | .2263 .9151 .3650 .8428 | 54-61 | 69-75
keras-io/text-from-scratch | 3 | .1432 .9463 .3789 .8758 | 2-5 | 3-4
"""

# case | set | loss | accuracy
SCORES = """
imdb-rnn/simple-rnn | train | 0.23753432908952235 | 0.9356
imdb-rnn/simple-rnn | test | 0.9043297662734985 | 0.7475
imdb-rnn/simple-rnn-dense | test | 0.32980653083324435 | 0.846
imdb-rnn/two-layer-rnn | test | 1.9941312866210938 | 0.5165
imdb-rnn/birnn | test | 1.004870327949524 | 0.651
imdb-rnn/lstm | test | 0.4555453841686249 | 0.791
word-embeddings/glove-200 | test | 0.6911874413490295 | 0.5644000172615051
text-networks/multi-hot-dense | test | .3020 | .8800
text-networks/embedding-300 | test | .4876 | .8033
text-networks/word2vec-300 | test | .4673 | .7843
text-networks/simple-rnn-16 | test | .4439 | .8073
text-networks/lstm-16 | test | .4360 | .8044
movie-reviews/simple-rnn | train | - | .7713
movie-reviews/simple-rnn | validation | - | .7560
movie-reviews/lstm | train | - | .8249
movie-reviews/lstm | validation | - | .7771
movie-reviews/gru | train | - | .8238
movie-reviews/gru | validation | - | .7849
movie-reviews/modified-lstm | train | - | .7899
movie-reviews/modified-lstm | validation | - | .7981
movie-reviews/bidirectional-lstm | train | - | .8155
movie-reviews/bidirectional-lstm | validation | - | .8010
movie-reviews/stacked-lstm | train | - | .7909
movie-reviews/stacked-lstm | validation | - | .7980
keras-io/bidirectional-lstm | validation | .3650 | .8428
keras-io/text-from-scratch | test | .3857 | .8642
"""

# case | figure | its value in every printed epoch
CURVES = """
word-embeddings/embedding-flatten-dense | val_accuracy | .7106 .7360 .7462 .7560 .7610 .7608 .7588 .7594 .7610 .7586
word-embeddings/glove-200 | val_accuracy | .5077 .5046 .5248 .5046 .5085 .5337 .5427 .5053 .5075 .5645
word-embeddings/learned-200 | val_accuracy | .5059 .5057 .5200 .5146 .5184 .5223 .5236 .5227 .5213 .5271
text-networks/multi-hot-dense | loss | .4435 .2574 .1984 .1657
text-networks/multi-hot-dense | accuracy | .8278 .9091 .9285 .9422
text-networks/multi-hot-dense-validated | loss | .5190 .3138 .2302
text-networks/multi-hot-dense-validated | accuracy | .7760 .9026 .9289
text-networks/multi-hot-dense-validated | val_loss | .3935 .3204 .3065
text-networks/multi-hot-dense-validated | val_accuracy | .8715 .8778 -
text-networks/simple-rnn-16 | loss | .6044 .4726 .4022 .3501
text-networks/simple-rnn-16 | accuracy | .6842 .8109 .8500 .8723
keras-io/bidirectional-lstm | val_accuracy | .8269 .8428
keras-io/text-from-scratch | val_accuracy | .8589 .8662 .8758
"""

EVALUATE_MS = {
    "word-embeddings/glove-200": 3,
    "text-networks/multi-hot-dense": 1,
    "text-networks/embedding-300": 2,
    "text-networks/word2vec-300": 2,
    "text-networks/simple-rnn-16": 3,
    "text-networks/lstm-16": 7,
}

# Cases that the documents name, or that are ours, without a figure beyond parameter counts.
WITHOUT_RESULTS = {
    "imdb-rnn/lstm-cudnn",
    "word-embeddings/embedding-pool-dense",
    "word-embeddings/embedding-recurrent",
    "word-embeddings/embedding-conv1d",
    *(f"word-embeddings/{kind}-{rows}" for kind in ("glove", "learned") for rows in (500, 1000, 2000, 5000, 10000)),
    "text-networks/word2vec-300-aligned",
    "text-networks/word2vec-200",
    "text-networks/embedding-200",
    "keras-io/reuters-mlp",
    "rnn-benchmarks/lstm-short",
    "rnn-benchmarks/lstm-long",
}


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def number(text: str) -> float | None:
    return None if text == "-" else float(text.replace(",", ""))


def documented(name: str) -> Documented:
    return CASES[name][1].documented


def test_every_documented_case_is_declared_and_no_other() -> None:
    transcribed = {row[0] for table in (COUNTS, TRAININGS, SCORES) for row in rows(table)}
    assert CATALOG.errors == ()
    assert set(CASES) == transcribed | WITHOUT_RESULTS


@pytest.mark.parametrize(("name", "layers", "total", "trainable", "frozen"), rows(COUNTS))
def test_parameter_counts_are_those_printed(name: str, layers: str, total: str, trainable: str, frozen: str) -> None:
    figures = documented(name)
    assert [count for count in figures.layers if count] == [int(count) for count in layers.split()]
    assert (figures.total, figures.trainable, figures.frozen) == (number(total), number(trainable), number(frozen))


@pytest.mark.parametrize("name", CASES)
def test_declared_layers_have_the_documented_parameters_layer_by_layer(name: str) -> None:
    suite, case = CASES[name]
    counts = parameters(resolve(suite, case, "documented"))
    printed = case.documented
    if printed.layers:
        assert tuple(layer.total for layer in counts.layers) == printed.layers
    assert printed.total in (None, counts.total)
    assert printed.trainable in (None, counts.trainable)
    # Document 002 prints 3,000 for 10,000 x 300 frozen parameters; the case says so.
    misprinted = name in ("text-networks/word2vec-300", "text-networks/word2vec-200")
    assert printed.frozen in (None, 3000 if misprinted else counts.frozen)
    assert not misprinted or counts.frozen == 3_000_000
    assert bool(printed.misprint) == misprinted


@pytest.mark.parametrize(("name", "count", "last", "seconds", "step_ms"), rows(TRAININGS))
def test_printed_trainings_end_as_documented(name: str, count: str, last: str, seconds: str, step_ms: str) -> None:
    epochs = documented(name).epochs
    assert len(epochs) == int(count)
    line = epochs[-1]
    assert [line.loss, line.accuracy, line.val_loss, line.val_accuracy] == [number(text) for text in last.split()]
    assert extremes(epochs, "seconds") == tuple(map(float, seconds.split("-")))
    if step_ms == "-":
        assert documented(name).step_ms is None
        assert all(epoch.step_ms is None for epoch in epochs)
    else:
        assert documented(name).step_ms in (None, extremes(epochs, "step_ms"))
        assert extremes(epochs, "step_ms") == tuple(map(float, step_ms.split("-")))


def extremes(epochs: tuple[Epoch, ...], figure: str) -> tuple[float, float]:
    values = [getattr(epoch, figure) for epoch in epochs]
    return min(values), max(values)


@pytest.mark.parametrize(("name", "figure", "values"), rows(CURVES))
def test_printed_curves_are_complete(name: str, figure: str, values: str) -> None:
    assert [getattr(epoch, figure) for epoch in documented(name).epochs] == [number(text) for text in values.split()]


def test_scores_are_those_printed_and_no_other() -> None:
    declared = {
        (name, part): (score.loss, score.accuracy)
        for name in CASES
        for part in ("train", "validation", "test")
        if (score := getattr(documented(name), part)) is not None
    }
    assert declared == {(name, part): (number(loss), number(acc)) for name, part, loss, acc in rows(SCORES)}


def test_evaluation_milliseconds_are_those_printed_and_no_other() -> None:
    declared = {name: documented(name).evaluate_step_ms for name in CASES}
    assert {name: value for name, value in declared.items() if value is not None} == EVALUATE_MS


@pytest.mark.parametrize("name", sorted(WITHOUT_RESULTS))
def test_cases_without_a_printed_result_have_none(name: str) -> None:
    figures = documented(name)
    assert not figures.epochs
    assert figures.train is figures.validation is figures.test is None
    assert (figures.step_ms, figures.evaluate_step_ms) == (None, None)
    assert CASES[name][1].notes


@pytest.mark.parametrize(
    ("name", "train", "validation"),
    [
        *(
            (f"imdb-rnn/{case}", 3750, 1250)
            for case in ("simple-rnn", "simple-rnn-dense", "two-layer-rnn", "birnn", "lstm")
        ),
        ("word-embeddings/embedding-flatten-dense", 20000, 5000),
        ("word-embeddings/glove-200", 200, 10000),
        ("word-embeddings/learned-200", 200, 10000),
    ],
)
def test_every_printed_accuracy_is_a_whole_number_of_rows(name: str, train: int, validation: int) -> None:
    # A property of the documents' own data: an accuracy over n rows is k/n, so most mistyped digits break it.
    for epoch in documented(name).epochs:
        for accuracy, of in ((epoch.accuracy, train), (epoch.val_accuracy, validation)):
            assert accuracy is not None
            assert round(round(accuracy * of) / of, 4) == accuracy


@pytest.mark.parametrize("name", ["simple-rnn", "simple-rnn-dense", "two-layer-rnn", "birnn", "lstm"])
def test_document_000_stopped_where_its_early_stopping_stops(name: str) -> None:
    case = CASES[f"imdb-rnn/{name}"][1]
    losses = [epoch.val_loss for epoch in case.documented.epochs if epoch.val_loss is not None]
    assert case.training.early_stopping is not None
    assert len(losses) == len(case.documented.epochs)
    assert len(losses) == losses.index(min(losses)) + 1 + case.training.early_stopping.patience


def test_eras_follow_the_documents_keras() -> None:
    eras = {suite.document: suite.era for suite in CATALOG.suites.values()}
    assert eras == {
        "000": spec.KERAS_2_0,
        "001": spec.KERAS_2_3,
        "002": spec.KERAS_2_3,
        "003": spec.KERAS_2_0,
        "keras.io": spec.KERAS_3,
        "arXiv 1806.01818": spec.KERAS_2_0,
    }


def test_printed_times_by_kernel_are_those_of_the_authors_log_and_no_other() -> None:
    printed = {name: documented(name).kernels for name in CASES if documented(name).kernels}
    assert printed == {"rnn-benchmarks/lstm-long": spec.KernelSteps("torch", fused=79.8, generic=304.8)}


def test_cases_whose_protocol_is_not_printed_are_not_judged() -> None:
    unjudged = {name for name in CASES if documented(name).unjudged}
    assert unjudged == {
        "imdb-rnn/simple-rnn-dense",
        "text-networks/embedding-300",
        "text-networks/word2vec-300",
        "text-networks/lstm-16",
        *(name for name in CASES if name.startswith("movie-reviews/")),
    }
    assert all(case.notes or suite.notes for suite, case in (CASES[name] for name in unjudged))


@dataclass(frozen=True)
class Protocol:
    data: str
    optimizer: str
    epochs: int
    batch: int
    validation: spec.Validation | None
    stopping: spec.EarlyStopping | None = None


PROTOCOLS = {
    "imdb-rnn/birnn": Protocol(
        "Imdb 5000 400 pre pre", "adam", 100, 32, spec.LastFraction(0.25), spec.EarlyStopping(5, "val_loss")
    ),
    "imdb-rnn/lstm": Protocol(
        "Imdb 5000 400 pre pre", "adam", 100, 32, spec.LastFraction(0.25), spec.EarlyStopping(1, "val_loss")
    ),
    "word-embeddings/embedding-flatten-dense": Protocol(
        "Imdb 10000 20 pre pre", "rmsprop", 10, 32, spec.LastFraction(0.2)
    ),
    "word-embeddings/glove-2000": Protocol(
        "ReviewTexts 10000 100 pre pre", "rmsprop", 10, 32, spec.RandomRows(2000, 10000)
    ),
    "text-networks/multi-hot-dense": Protocol("Imdb 10000 None pre pre", "rmsprop", 4, 512, None),
    "text-networks/multi-hot-dense-validated": Protocol(
        "Imdb 10000 None pre pre", "rmsprop", 20, 512, spec.FirstRows(10000)
    ),
    "text-networks/lstm-16": Protocol("Imdb 10000 100 post post", "rmsprop", 4, 512, None),
    "text-networks/word2vec-200": Protocol("Imdb 10000 100 post post", "rmsprop", 10, 32, spec.RandomRows(200)),
    "movie-reviews/gru": Protocol(
        "LabelledCsv 10000 40 pre pre", "adam", 100, 1024, None, spec.EarlyStopping(5, "val_accuracy")
    ),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_are_those_documented(name: str) -> None:
    _, case = CASES[name]
    data, training = case.data, case.training
    shown = f"{type(data).__name__} {data.num_words} {data.maxlen} {data.padding} {data.truncating}"
    declared = Protocol(
        shown, training.optimizer, training.epochs, training.batch_size, training.validation, training.early_stopping
    )
    assert declared == PROTOCOLS[name]


def test_document_003_keeps_a_checkpoint_by_validation_accuracy() -> None:
    kept = {name: case.training.checkpoint for name, (_, case) in CASES.items()}
    expected = {name: "val_accuracy" if name.startswith("movie-reviews/") else None for name in CASES}
    assert kept == expected


def test_lstm_cudnn_requires_the_fused_kernel_on_cuda() -> None:
    required = {name: case.requires for name, (_, case) in CASES.items() if case.requires}
    assert required == {"imdb-rnn/lstm-cudnn": spec.Requires(kernel="fused", device="cuda")}
    assert spec.LSTM(100, recurrent_activation="sigmoid") in CASES["imdb-rnn/lstm-cudnn"][1].layers


def test_word2vec_is_declared_as_documented_and_aligned() -> None:
    def offset(pair: tuple[Suite, Case]) -> int:
        first = pair[1].layers[0]
        assert isinstance(first, spec.Embedding)
        assert isinstance(first.vectors, spec.Word2Vec)
        return first.vectors.offset

    assert offset(CASES["text-networks/word2vec-300"]) == 0
    assert offset(CASES["text-networks/word2vec-300-aligned"]) == 3
