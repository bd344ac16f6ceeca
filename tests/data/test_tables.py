"""A user's own tables of texts: read as pandas reads them, tokenised as Keras does, refused by line where they err."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_preprocessing.sequence import pad_sequences
from keras_preprocessing.text import Tokenizer
from sklearn.model_selection import train_test_split

from bench.data import csvfile, prepare
from bench.data.tables import in_order
from bench.errors import DataError
from bench.spec import Embedding, Glove, TextCsv

RANDOM = np.random.RandomState(0)
WORDS = ["good", "bad", "film", "it's", "Not", 'a "quote"', "one, two", "über", "two\nlines"]
TEXTS = [" ".join(RANDOM.choice(WORDS, 1 + i % 6)) for i in range(40)]
LABELS = [("pos", "neg")[i % 2] for i in range(40)]
FRAME = pd.DataFrame({"id": range(40), "review": TEXTS, "stars": LABELS})
DATA = TextCsv("own.csv", num_words=8, maxlen=5, text="review", label="stars", test=0.25)


@pytest.fixture(autouse=True)
def _numpy_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "unicode_", np.str_, raising=False)  # keras_preprocessing was written for NumPy 1


def write(folder: Path, name: str = "own.csv", frame: pd.DataFrame = FRAME) -> Path:
    path = folder / name
    frame.to_parquet(path) if name.endswith(".parquet") else frame.to_csv(path, index=False)
    return path


def refused(data: TextCsv, classes: int | None = None) -> str:
    with pytest.raises(DataError) as error:
        prepare(data, None, {}, classes)
    return str(error.value)


@pytest.mark.parametrize("name", ["own.csv", "own.csv.gz", "own.parquet"])
def test_texts_are_split_tokenised_and_padded_as_keras_and_scikit_learn_do(data_folder: Path, name: str) -> None:
    write(data_folder, name)

    dataset = prepare(replace(DATA, file=name), None, {})

    x_train, x_test, y_train, y_test = train_test_split(
        TEXTS, [LABELS.index("pos") ^ (label == "pos") for label in LABELS], test_size=0.25, random_state=42,
        stratify=LABELS,
    )  # fmt: skip
    tokenizer = Tokenizer(num_words=8)
    tokenizer.fit_on_texts(x_train)
    assert dataset.test is not None
    for part, texts, labels in ((dataset.train, x_train, y_train), (dataset.test, x_test, y_test)):
        np.testing.assert_array_equal(part.x, pad_sequences(tokenizer.texts_to_sequences(texts), maxlen=5))
        np.testing.assert_array_equal(part.y, labels)
    assert (dataset.name, dataset.validation) == (name, None)


def test_other_files_are_parts_and_the_training_texts_alone_fit_the_tokeniser(data_folder: Path) -> None:
    write(data_folder, "train.csv", FRAME[:20])
    write(data_folder, "held.parquet", FRAME[20:30])
    write(data_folder, "test.csv.gz", FRAME[30:])
    data = replace(DATA, file="train.csv", validation="held.parquet", test="test.csv.gz")

    dataset = prepare(data, None, {})

    tokenizer = Tokenizer(num_words=8)
    tokenizer.fit_on_texts(TEXTS[:20])
    expected = pad_sequences(tokenizer.texts_to_sequences(TEXTS), maxlen=5)
    for part, rows in ((dataset.train, slice(20)), (dataset.validation, slice(20, 30)), (dataset.test, slice(30, 40))):
        assert part is not None
        np.testing.assert_array_equal(part.x, expected[rows])
    mixed = prepare(replace(data, test=0.25), None, {})
    assert mixed.validation is not None
    assert mixed.test is not None
    assert (len(mixed.train), len(mixed.validation), len(mixed.test)) == (15, 10, 5)


def test_multi_hot_rows_mark_the_ids_of_each_text(data_folder: Path) -> None:
    write(data_folder)
    ids = prepare(replace(DATA, maxlen=50), None, {}).train
    rows = prepare(replace(DATA, maxlen=None, encoding="multi-hot"), None, {}).train.x[np.arange(30)]

    expected = np.zeros((30, 8), np.float32)
    for row in range(30):
        expected[row, [number for number in np.asarray(ids.x)[row] if number]] = 1.0
    np.testing.assert_array_equal(rows, expected)


def test_vectors_fill_the_table_by_the_words_of_the_texts(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.data.test_prepare import write_glove

    write(data_folder)
    vectors = write_glove(data_folder, monkeypatch, 50)

    table = prepare(DATA, Embedding(8, 50, vectors=Glove(50), trainable=False), {}).vectors

    tokenizer = Tokenizer(num_words=8)
    tokenizer.fit_on_texts(train_test_split(TEXTS, test_size=0.25, random_state=42, stratify=LABELS)[0])
    assert table is not None
    np.testing.assert_array_equal(table[tokenizer.word_index["film"]], np.asarray(vectors["film"], np.float32))


# --- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["neu", "pos", "neg"], ["neg", "neu", "pos"]),
        (["10", "9", "1"], ["1", "9", "10"]),
        (["10", "9", "a"], ["10", "9", "a"]),
        (["-1", "1", "0"], ["-1", "0", "1"]),
    ],
)
def test_classes_are_in_sorted_order_numbers_by_value(labels: list[str], order: list[str]) -> None:
    assert in_order(labels) == order


@pytest.mark.parametrize("name", ["own.csv", "own.parquet"])
@pytest.mark.parametrize("kind", ["int64", "string", "category", "float64", "boolean"])
def test_labels_of_any_kind_become_classes(data_folder: Path, name: str, kind: Any) -> None:
    stars: Any = pd.Series([(2, 10, 0)[i % 3] for i in range(40)])
    stars = stars > 1 if kind == "boolean" else stars.astype(kind)
    write(data_folder, name, FRAME.assign(stars=stars))
    expected = [int(value) if kind == "boolean" else (0, 2, 10).index(int(value)) for value in stars]
    if (name, kind) == ("own.csv", "float64"):
        expected = [("0.0", "10.0", "2.0").index(str(value)) for value in stars]

    found = prepare(replace(DATA, file=name, test=name), None, {}, classes=None if kind == "boolean" else 3).train

    np.testing.assert_array_equal(found.y, expected)
    assert found.y.dtype == (np.float32 if kind == "boolean" else np.int32)


def test_classes_may_be_named_in_their_order(data_folder: Path) -> None:
    write(data_folder)

    named = prepare(replace(DATA, test="own.csv", classes=("pos", "neg")), None, {}).train

    np.testing.assert_array_equal(named.y, [label == "neg" for label in LABELS])
    assert "own.csv, line 3: the label 'neg'; labels are pos, bad" in refused(replace(DATA, classes=("pos", "bad")))


def test_more_labels_than_the_case_tells_apart_are_named(data_folder: Path) -> None:
    write(data_folder, frame=FRAME.assign(stars=[("a", "b", "c")[i % 3] for i in range(40)]))

    assert "the label must be 0 or 1, got 2, one of a, b, c; " in refused(DATA)
    assert "a softmax over as many classes" in refused(DATA)
    assert len(prepare(DATA, None, {}, classes=3).train) == 30


def test_a_label_that_training_has_not_is_refused_by_its_file(data_folder: Path) -> None:
    write(data_folder)
    write(data_folder, "test.parquet", FRAME.assign(stars="neutral"))

    assert "test.parquet, row 0: the label 'neutral'; labels are neg, pos" in refused(
        replace(DATA, test="test.parquet")
    )


# --- what is refused ---------------------------------------------------------------------------------------------


FIELD = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@given(rows=st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=5))
def test_csv_is_read_as_pandas_writes_and_reads_it(
    rows: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "own.csv"
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    frame.to_csv(path, index=False, quoting=1)

    (c, a), lines = csvfile.columns(path, ["c", "a"])

    assert (a, c) == (frame["a"].tolist(), frame["c"].tolist())
    assert lines[-1] == len(path.read_text(encoding="utf-8").split("\n")) - 1  # which takes \\r for an end, too


def test_a_mark_at_the_beginning_other_line_ends_and_long_texts_are_read(data_folder: Path) -> None:
    text = "word " * 100_000
    path = data_folder / "own.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"review,stars\r\n{text},1\r\n\r\nfine,0\r\n".encode())

    assert csvfile.columns(path, ["review", "stars"]) == ([[text, "fine"], ["1", "0"]], [2, 4])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"review,star\na,b\n", "own.csv: unknown column 'stars'; nearest: star"),
        (b"", "own.csv: unknown column 'review'"),
        (b"review,stars\n", "own.csv: no rows"),
        (b"review,stars\na,pos\nb,c,neg\n", "own.csv, line 3: 3 fields, and the header has 2; put a field"),
        (b"review,stars\na,pos\nb\n", "own.csv, line 3: 1 fields"),
        (b'review,stars\na,pos\n"b" c,neg\n', "own.csv, line 3: "),
        (b'review,stars\na,pos\n"b,neg\n', "own.csv, line 3: "),
        (b"review,stars\na,pos\n ,neg\n", "own.csv, line 3: the text is empty"),
        (b"review,stars\na,pos\nb, \n", "own.csv, line 3: the label is empty"),
        (b"review,stars\na,pos\ncaf\xe9,neg\n", "own.csv, line 3: not UTF-8 (0xe9)"),
        (b"review,stars\na,pos\nb,neg\n", "own.csv: cannot be split"),
    ],
)
def test_a_bad_file_is_refused_by_line(data_folder: Path, content: bytes, message: str) -> None:
    (data_folder / "own.csv").write_bytes(content)

    assert message in refused(DATA)


def test_parquet_is_never_taken_for_text_nor_text_for_parquet(data_folder: Path) -> None:
    (data_folder / "own.parquet").write_bytes(write(data_folder).read_bytes())
    assert "own.parquet is not a Parquet file" in refused(replace(DATA, file="own.parquet"))
    (data_folder / "own.csv.gz").write_bytes(gzip.compress(write(data_folder).read_bytes())[:-9])
    assert "own.csv.gz cannot be read" in refused(replace(DATA, file="own.csv.gz"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"review": [*TEXTS[:-1], None], "stars": LABELS}, "column review, row 39: null"),
        ({"review": TEXTS, "stars": [None, *LABELS[1:]]}, "column stars, row 0: null"),
        ({"review": list(range(40)), "stars": LABELS}, "column review: holds int64, not texts"),
        ({"review": TEXTS, "stars": [0.5] * 40}, "column stars, row 0: the label 0.5"),
        ({"review": TEXTS, "stars": [["pos"]] * 40}, "column stars, row 0: the label ['pos']"),
        ({"review": TEXTS}, "unknown column 'stars'; known: review"),
        ({"review": [*TEXTS[:3], "", *TEXTS[4:]], "stars": LABELS}, "own.parquet, row 3: the text is empty"),
    ],
)
def test_bad_columns_are_refused_by_row(data_folder: Path, columns: dict[str, Any], message: str) -> None:
    pq.write_table(pa.table(columns), data_folder / "own.parquet")

    assert message in refused(replace(DATA, file="own.parquet"))
