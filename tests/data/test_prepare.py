from __future__ import annotations

import dataclasses
import json
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_preprocessing.sequence import pad_sequences
from keras_preprocessing.text import Tokenizer
from sklearn.model_selection import train_test_split

from bench.data import csvfile, files_for, imdb, prepare, sources, stand_ins_for
from bench.errors import DataError, Unavailable, UsageError
from bench.spec import Embedded, Embedding, Glove, Imdb, LabelledCsv, ReviewTexts, Word2Vec

# The filters of document 003.
FILTERS = '#$%&()*+-/:;<=>@[\\]^{|}~\t\n,.!"'
CSV = LabelledCsv("movie_reviews.csv", num_words=8, maxlen=5, filters=FILTERS, remove="'", validation=0.25)
GLOVE_50 = Embedding(8, 50, vectors=Glove(50), trainable=False)
WORDS = ["good", "bad", "film", "it's", "Not", "very", "actors", "plot", "dull"]


def write_csv(folder: Path, name: str = "movie_reviews.csv") -> list[str]:
    random = np.random.RandomState(0)
    texts = [f'"{" ".join(random.choice(WORDS, size=1 + i % 9))}, {i % 3}!"' for i in range(40)]
    lines = [f"{i % 2},{text}" for i, text in enumerate(texts)]
    (folder / name).write_text("\n".join(["label,text", *lines]) + "\n")
    return lines


def write_glove(folder: Path, monkeypatch: pytest.MonkeyPatch, dimension: int) -> dict[str, list[str]]:
    """Write vectors for some words, as a file whose content may be any."""
    name = f"glove.6B.{dimension}d"
    text = sources.File(f"{name}.txt")
    monkeypatch.setitem(sources.SOURCES, name, dataclasses.replace(sources.SOURCES[name], files=(text,)))
    vectors = {
        word: [f"{row}.{column}" for column in range(dimension)] for row, word in enumerate(["film", "dull", "its"])
    }
    lines = [" ".join([word, *numbers]) for word, numbers in vectors.items()]
    (folder / text.name).write_text("\n".join(lines) + "\n")
    return vectors


def test_a_csv_is_prepared_as_document_003_prepares_it(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = write_csv(data_folder)
    vectors = write_glove(data_folder, monkeypatch, 50)

    dataset = prepare(CSV, GLOVE_50, {})

    x = [line.split(",", 1)[1].replace("'", "") for line in lines]
    y = np.asarray([line.split(",", 1)[0] for line in lines], dtype="int8")
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, random_state=42, stratify=y)
    tokenizer = Tokenizer(num_words=8, filters=FILTERS)
    tokenizer.fit_on_texts(x_train)
    monkeypatch.setattr(np, "unicode_", np.str_, raising=False)  # keras_preprocessing was written for NumPy 1
    table = np.zeros((8, 50))
    for word, i in tokenizer.word_index.items():
        if i < 8 and word in vectors:
            table[i] = np.asarray(vectors[word], dtype="float32")

    assert dataset.validation is not None
    for part, texts, labels in ((dataset.train, x_train, y_train), (dataset.validation, x_val, y_val)):
        np.testing.assert_array_equal(part.x, pad_sequences(tokenizer.texts_to_sequences(texts), maxlen=5))
        np.testing.assert_array_equal(part.y, labels)
    assert table.any()
    np.testing.assert_array_equal(dataset.vectors, table.astype(np.float32))
    assert (dataset.name, dataset.stand_in, dataset.test) == ("movie_reviews.csv + glove.6B.50d", None, None)


def test_what_was_prepared_is_mapped_and_not_read_again(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(data_folder)
    write_glove(data_folder, monkeypatch, 50)
    first = prepare(CSV, GLOVE_50, {})
    monkeypatch.setattr(csvfile, "load", None)

    again = prepare(CSV, GLOVE_50, {})

    assert again.sha256 == first.sha256
    assert isinstance(again.train.x, np.memmap)
    assert isinstance(again.vectors, np.memmap)


def test_the_hash_is_that_of_the_content(data_folder: Path) -> None:
    write_csv(data_folder)
    first = prepare(CSV, None, {})
    file = data_folder / "movie_reviews.csv"

    file.write_text(file.read_text() + "\n".join(["0,good film"] * 20) + "\n")
    longer = prepare(CSV, None, {})
    write_csv(data_folder)
    same = prepare(CSV, None, {})

    assert len(longer.train) > len(first.train)
    assert longer.sha256 != first.sha256
    assert same.sha256 == first.sha256


@pytest.mark.parametrize("change", [{"maxlen": 4}, {"num_words": 7}, {"padding": "post"}, {"split_seed": 1}])
def test_every_field_of_the_spec_shapes_the_data(data_folder: Path, change: dict[str, Any]) -> None:
    write_csv(data_folder)

    assert prepare(dataclasses.replace(CSV, **change), None, {}).sha256 != prepare(CSV, None, {}).sha256


def test_two_processes_may_prepare_the_same_data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(data_folder)
    real_load = csvfile.load

    def load_while_another_prepares(path: Path) -> Any:
        monkeypatch.setattr(csvfile, "load", real_load)
        prepare(CSV, None, {})
        return real_load(path)

    monkeypatch.setattr(csvfile, "load", load_while_another_prepares)
    dataset = prepare(CSV, None, {})

    assert len(dataset.train) == 30
    assert len(list((sources.cache_dir() / "prepared").iterdir())) == 1


def invert(folder: Path) -> None:
    file = folder / "train.y.npy"
    np.save(file, 1 - np.load(file))


def rewrite(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps(change(meta)))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        invert,
        lambda folder: (folder / "validation.y.npy").unlink(),
        lambda folder: (folder / "train.x.npy").write_bytes((folder / "train.x.npy").read_bytes()[:50]),
        lambda folder: (folder / "train.x.npy").write_bytes(b""),
        lambda folder: np.save(folder / "train.y.npy", np.array([{}], object)),
        lambda folder: np.save(folder / "test.y.npy", np.zeros(3)),
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "meta.json").write_bytes(b"[" * 100_000),
        rewrite(lambda meta: []),
        rewrite(lambda meta: {}),
        rewrite(lambda meta: meta | {"name": "another"}),
        rewrite(lambda meta: meta | {"words": meta["words"][::-1]}),
    ],
)
def test_prepared_data_that_is_not_what_was_stored_is_prepared_again(
    data_folder: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    write_csv(data_folder)
    first = prepare(CSV, None, {})
    (folder,) = (sources.cache_dir() / "prepared").iterdir()
    labels = np.array(first.train.y)
    damage(folder)

    again = prepare(CSV, None, {})

    assert (again.name, again.sha256) == (first.name, first.sha256)
    np.testing.assert_array_equal(again.train.y, labels)
    assert again.validation is not None
    assert str(folder) in caplog.text


def test_vectors_of_none_of_the_words_are_refused_and_the_share_of_those_found_is_told(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(data_folder)
    known = write_glove(data_folder, monkeypatch, 50)
    found = prepare(CSV, GLOVE_50, {}).found
    metas = [json.loads(file.read_text()) for file in (sources.cache_dir() / "prepared").glob("*/meta.json")]
    (words,) = [meta["words"][:7] for meta in metas if meta.get("words")]  # ids 1 to 7 of 8
    assert found == sum(word in known for word in words) / 7
    assert 0 < found < 1

    (data_folder / "glove.6B.50d.txt").write_text("nothing " + " ".join(["1"] * 50) + "\n")
    with pytest.raises(DataError, match="a vector for none of the"):
        prepare(CSV, GLOVE_50, {})


def test_what_a_killed_preparation_left_is_removed(data_folder: Path) -> None:
    write_csv(data_folder)
    cache = sources.cache_dir() / "prepared"
    for name, age in (("unfinished-old", 7200), ("unfinished-new", 60)):
        (cache / name).mkdir(parents=True)
        (cache / name / "train.x.npy").touch()
        os.utime(cache / name, (time.time() - age,) * 2)

    prepare(CSV, None, {})

    assert [folder.name for folder in cache.glob("unfinished-*")] == ["unfinished-new"]


def test_too_few_texts_of_a_label_to_split_are_refused(data_folder: Path) -> None:
    (data_folder / "movie_reviews.csv").write_text("label,text\n0,a\n1,b\n")

    with pytest.raises(DataError, match=r"movie_reviews\.csv: cannot be split"):
        prepare(CSV, None, {})


def write_imdb(folder: Path, monkeypatch: pytest.MonkeyPatch, labels: list[int]) -> None:
    reviews = np.empty(3, dtype=object)
    reviews[:] = [[1, 2, 3], [4, 1], [5, 96]]
    y = np.array(labels)
    np.savez(folder / "imdb.npz", x_train=reviews, y_train=y, x_test=reviews, y_test=y)
    (folder / "imdb_word_index.json").write_text(json.dumps({"the": 1, "and": 2, "a": 3, "of": 4, "to": 5}))
    for name in ("imdb.npz", "imdb_word_index.json"):
        source = sources.SOURCES[name]
        monkeypatch.setitem(sources.SOURCES, name, dataclasses.replace(source, files=(sources.File(name),)))


def test_imdb_is_cut_to_its_first_rows_and_padded(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_imdb(data_folder, monkeypatch, [1, 0, 1])
    data = Imdb(num_words=50, maxlen=3, padding="post", truncating="post", train=2, test=1)

    dataset = prepare(data, Embedding(50, 8), {})

    (ids, labels), _ = imdb.load(data_folder / "imdb.npz", 50)
    rows = [([*ids[i].tolist(), 0])[:3] for i in range(2)]
    np.testing.assert_array_equal(dataset.train.x, rows)
    np.testing.assert_array_equal(dataset.train.y, labels[:2])
    assert dataset.test is not None
    assert len(dataset.test) == 1


def test_multi_hot_rows_mark_the_ids_of_each_review(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_imdb(data_folder, monkeypatch, [1, 0, 1])

    dataset = prepare(Imdb(num_words=9, encoding="multi-hot"), None, {})

    (ids, _), _ = imdb.load(data_folder / "imdb.npz", 9)
    expected = np.zeros((3, 9), np.float32)
    for i in range(3):
        expected[i, ids[i]] = 1.0
    np.testing.assert_array_equal(dataset.train.x[np.arange(3)], expected)
    np.testing.assert_array_equal(dataset.train.x[np.array([2, 0])], expected[[2, 0]])


def test_labels_are_what_the_case_takes(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_imdb(data_folder, monkeypatch, [1, 0, 2])
    y = prepare(Imdb(num_words=50, maxlen=3), None, {}, classes=3).train.y
    assert y.dtype == np.int32
    assert sorted(y) == [0, 1, 2]  # Keras shuffles them
    write_imdb(data_folder, monkeypatch, [1, 0, 1])
    assert prepare(Imdb(num_words=50, maxlen=3), None, {}).train.y.dtype == np.float32
    assert prepare(Imdb(num_words=50, maxlen=3), None, {}, classes=2).train.y.dtype == np.int32
    write_imdb(data_folder, monkeypatch, [1, 0, 3])
    with pytest.raises(DataError, match="the label must be a whole number from 0 to 2, got 3"):
        prepare(Imdb(num_words=50, maxlen=3), None, {}, classes=3)


def test_bad_imdb_content_is_refused(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_imdb(data_folder, monkeypatch, [1, 0, 2])

    with pytest.raises(
        DataError, match=r"imdb, train row \d: the label must be 0 or 1, got 2; .* a softmax over as many"
    ):
        prepare(Imdb(num_words=50, maxlen=3), None, {})
    with pytest.raises(DataError, match="the label must be 0 or 1, got 2"):
        prepare(Imdb(num_words=50, maxlen=3), None, {}, classes=2)
    with pytest.raises(DataError, match="30 train reviews asked for, the file has 3"):
        prepare(Imdb(num_words=50, maxlen=3, train=30), None, {})


def test_ids_that_do_not_fit_the_embedding_are_refused(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_imdb(data_folder, monkeypatch, [1, 0, 1])

    with pytest.raises(DataError, match=r"holds the id 8, but the model takes ids below 5; lower num_words"):
        prepare(Imdb(num_words=50, maxlen=3), Embedding(5, 8), {})


GOOGLE_NEWS = "GoogleNews-vectors-negative300"


def write_word2vec(folder: Path, name: str, dimension: int = 300) -> np.ndarray[Any, Any]:
    """Write vectors for the words of ranks 1 to 5, and return them in that order."""
    words = ["the", "and", "a", "of", "to"]
    table = np.random.RandomState(0).random_sample((5, dimension)).astype("<f4")
    content = b"".join(word.encode() + b" " + row.tobytes() for word, row in zip(words, table, strict=True))
    (folder / f"{name}.bin").write_bytes(f"5 {dimension}\n".encode() + content)
    return table


@pytest.mark.parametrize(("offset", "first"), [(0, 1), (3, 4)])
@pytest.mark.parametrize(("name", "stands_in"), [(GOOGLE_NEWS, False), ("word2vec-imdb", True)])
def test_word2vec_rows_are_moved_by_the_offset(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, offset: int, first: int, name: str, stands_in: bool
) -> None:
    write_imdb(data_folder, monkeypatch, [1, 0, 1])
    table = write_word2vec(data_folder, name)
    data, embedding = Imdb(num_words=6, maxlen=3), Embedding(6, 300, vectors=Word2Vec(offset), trainable=False)

    dataset = prepare(data, embedding, stand_ins_for(data, embedding, {}))

    assert dataset.vectors is not None
    np.testing.assert_array_equal(dataset.vectors[first:], table[: 6 - first])
    assert not dataset.vectors[:first].any()
    assert dataset.name == f"imdb + {name}"
    assert (dataset.stand_in is not None) == stands_in


def test_word2vec_vectors_of_another_dimension_are_refused(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_imdb(data_folder, monkeypatch, [1, 0, 1])
    write_word2vec(data_folder, "word2vec-imdb", 100)
    data, embedding = Imdb(num_words=6, maxlen=3), Embedding(6, 300, vectors=Word2Vec(), trainable=False)

    with pytest.raises(DataError, match=r"word2vec-imdb\.bin, line 1: .* 100 dimensions, the Embedding has 300"):
        prepare(data, embedding, stand_ins_for(data, embedding, {}))


def test_embedded_data_needs_no_file() -> None:
    data = Embedded(num_words=50, maxlen=6, train=20, validation=4, test=10)

    dataset = prepare(data, Embedding(60, 50, vectors=Glove(50), trainable=False), stand_ins_for(data, None, {}))

    assert files_for(data, None) == ()
    assert np.shape(dataset.train.x) == (20, 6)
    assert (dataset.validation is None, dataset.test is None, dataset.stand_in) == (False, False, None)
    assert dataset.vectors is not None
    assert dataset.vectors.shape == (60, 50)


def test_the_shift_of_word2vec_reaches_the_embedded_corpus() -> None:
    def table(vectors: Glove | Word2Vec) -> Any:
        embedding = Embedding(60, 300, vectors=vectors, trainable=False)
        return prepare(Embedded(num_words=50, maxlen=6), embedding, {}).vectors

    shifted, aligned = table(Word2Vec(0)), table(Word2Vec(3))

    np.testing.assert_array_equal(aligned, table(Glove(300)))  # which no document shifts
    np.testing.assert_array_equal(shifted[1:57], aligned[4:])
    assert shifted[57:].any(axis=1).all()


# --- stand-ins ---------------------------------------------------------------------------------------------------

GLOVE_100 = Embedding(8, 100, vectors=Glove(100), trainable=False)


def test_files_are_those_that_the_documents_name() -> None:
    assert files_for(CSV, GLOVE_50) == ("movie_reviews.csv", "glove.6B.50d")
    assert files_for(ReviewTexts(8, maxlen=5), GLOVE_100) == ("aclImdb", "glove.6B.100d")
    assert files_for(Imdb(8, maxlen=5), None) == ("imdb.npz",)
    assert files_for(Imdb(8, maxlen=5), Embedding(8, 300, vectors=Word2Vec())) == (
        *("imdb.npz", "imdb_word_index.json", GOOGLE_NEWS),
    )


def test_the_documented_file_comes_first_then_its_stand_in_then_nothing(data_folder: Path) -> None:
    with pytest.raises(Unavailable, match=r"movie_reviews\.csv is missing.*its stand-in aclImdb is missing too"):
        stand_ins_for(CSV, None, {})

    (data_folder / "aclImdb_v1.tar.gz").touch()
    assert stand_ins_for(CSV, None, {}) == {"movie_reviews.csv": "aclImdb"}

    (data_folder / "movie_reviews.csv").touch()
    assert stand_ins_for(CSV, None, {}) == {}


def test_a_file_that_would_be_downloaded_needs_no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA_DIR")

    assert stand_ins_for(ReviewTexts(8, maxlen=5), GLOVE_100, {}) == {}


def test_a_stand_in_can_be_asked_for_or_forbidden(data_folder: Path) -> None:
    for name in ("aclImdb_v1.tar.gz", "movie_reviews.csv", "glove.6B.50d.txt"):
        (data_folder / name).touch()
    texts = ReviewTexts(8, maxlen=5)

    assert stand_ins_for(CSV, None, {"movie_reviews.csv": "aclImdb"}) == {"movie_reviews.csv": "aclImdb"}
    assert stand_ins_for(texts, None, {"movie_reviews.csv": "aclImdb"}) == {}
    assert stand_ins_for(texts, GLOVE_100, {}) == {"glove.6B.100d": "glove.6B.50d"}
    with pytest.raises(Unavailable, match="forbidden by --stand-in"):
        stand_ins_for(texts, GLOVE_100, {"glove.6B.100d": "none"})


def test_vectors_trained_here_stand_in_for_those_of_google_news_where_they_are_present(data_folder: Path) -> None:
    data, embedding = Imdb(8, maxlen=5), Embedding(8, 300, vectors=Word2Vec())
    for name in ("imdb.npz", "imdb_word_index.json"):
        (data_folder / name).touch()
    with pytest.raises(Unavailable, match=r"GoogleNews.*its stand-in word2vec-imdb is missing.*bench data make"):
        stand_ins_for(data, embedding, {})

    (data_folder / "word2vec-imdb.bin").touch()
    assert stand_ins_for(data, embedding, {}) == {GOOGLE_NEWS: "word2vec-imdb"}
    with pytest.raises(Unavailable, match="forbidden by --stand-in"):
        stand_ins_for(data, embedding, {GOOGLE_NEWS: "none"})

    (data_folder / f"{GOOGLE_NEWS}.bin").touch()
    assert stand_ins_for(data, embedding, {}) == {}
    assert stand_ins_for(data, embedding, {GOOGLE_NEWS: "word2vec-imdb"}) == {GOOGLE_NEWS: "word2vec-imdb"}


def test_a_source_without_a_stand_in_is_missing(data_folder: Path) -> None:
    with pytest.raises(Unavailable, match=r"imdb\.npz is missing.*it has no stand-in"):
        stand_ins_for(Imdb(8, maxlen=5), None, {})


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        ("glove.6B.10d", "none", r"unknown source to stand in for 'glove\.6B\.10d'; nearest: glove\.6B\.100d"),
        ("imdb.npz", "aclImdb", "unknown source to stand in for"),
        ("glove.6B.50d", "glove.6B.100d", "unknown stand-in for glove.6B.50d"),
        ("movie_reviews.csv", "imdb.npz", "unknown stand-in for movie_reviews.csv"),
        ("GoogleNews-vectors-negative300", "glove.6B.300d", "unknown stand-in for GoogleNews-vectors-negative300"),
    ],
)
def test_a_stand_in_that_cannot_be_is_refused(name: str, other: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        stand_ins_for(Embedded(8, maxlen=5), None, {name: other})


def test_smaller_vectors_fill_the_first_columns(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(data_folder)
    write_glove(data_folder, monkeypatch, 50)

    dataset = prepare(CSV, GLOVE_100, stand_ins_for(CSV, GLOVE_100, {}))

    half = prepare(CSV, GLOVE_50, {}).vectors
    assert half is not None
    assert dataset.vectors is not None
    np.testing.assert_array_equal(dataset.vectors[:, :50], half)
    assert not dataset.vectors[:, 50:].any()
    assert dataset.stand_in is not None
    assert "glove.6B.50d for glove.6B.100d: real vectors in the first 50 columns, zeros in the other 50" in (
        dataset.stand_in
    )


def test_a_vector_file_of_another_dimension_is_refused(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(data_folder)
    write_glove(data_folder, monkeypatch, 100)
    write_glove(data_folder, monkeypatch, 50)
    (data_folder / "glove.6B.100d.txt").replace(data_folder / "glove.6B.50d.txt")

    with pytest.raises(DataError, match=r"glove\.6B\.50d\.txt, line 1: 100 numbers after the word, expected 50"):
        prepare(CSV, GLOVE_50, {})


def test_a_truncated_zip_is_refused_before_it_is_read(data_folder: Path) -> None:
    write_csv(data_folder)
    path = data_folder / "glove.6B.50d.txt.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("glove.6B.50d.txt", "the 1 2 3")

    with pytest.raises(DataError, match=r"expected 69,239,732 bytes, .*found \d+ bytes"):
        prepare(CSV, GLOVE_50, {})


# --- the real files ----------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_real_imdb_rows_are_padded_as_document_002_prints_them() -> None:
    dataset = prepare(Imdb(10_000, maxlen=100, padding="post", truncating="post"), Embedding(10_000, 16), {})

    printed = """
    1, 591, 202, 14, 31, 6, 717, 10, 10, 2, 2, 5, 4, 360, 7, 4, 177, 5760, 394, 354, 4, 123, 9, 1035, 1035, 1035, 10,
    10, 13, 92, 124, 89, 488, 7944, 100, 28, 1668, 14, 31, 23, 27, 7479, 29, 220, 468, 8, 124, 14, 286, 170, 8, 157, 46,
    5, 27, 239, 16, 179, 2, 38, 32, 25, 7944, 451, 202, 14, 6, 717
    """
    assert dataset.test is not None
    assert dataset.test.x[np.array([0])][0].tolist() == [*map(int, printed.split(",")), *[0] * 32]
    assert np.shape(dataset.train.x) == np.shape(dataset.test.x) == (25_000, 100)


@pytest.mark.realdata
def test_real_review_texts_with_smaller_vectors_keep_the_documented_shapes() -> None:
    data, embedding = ReviewTexts(10_000, maxlen=100), Embedding(10_000, 100, vectors=Glove(100), trainable=False)

    dataset = prepare(data, embedding, stand_ins_for(data, embedding, {}))

    assert np.shape(dataset.train.x) == (25_000, 100)
    assert dataset.vectors is not None
    assert dataset.vectors.shape == (10_000, 100)


MOVIE_REVIEWS = dataclasses.replace(CSV, num_words=10_000, maxlen=40, validation=0.1)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("stand_in", "rows", "ranks"),
    [
        ("aclImdb", (45_000, 5_000), "and 2, a 3, that 12, with 15, on 20, characters 100, nice 327, dull 766"),
        ("rt_polarity.csv.gz", (9_595, 1_067), "a 2, and 3, that 8, with 13, on 20, characters 56, nice 704, dull 261"),
    ],
)
def test_ranks_of_both_stand_ins_of_document_003_are_those_that_its_suite_notes(
    stand_in: str, rows: tuple[int, int], ranks: str
) -> None:
    dataset = prepare(MOVIE_REVIEWS, None, stand_ins_for(MOVIE_REVIEWS, None, {"movie_reviews.csv": stand_in}))

    assert dataset.validation is not None
    assert (len(dataset.train), len(dataset.validation)) == rows
    (meta,) = (sources.cache_dir() / "prepared").glob("*/meta.json")
    words = json.loads(meta.read_text())["words"]
    assert ranks == ", ".join(f"{word} {words.index(word) + 1}" for word, _ in map(str.split, ranks.split(", ")))
