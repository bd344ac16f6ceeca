"""A data spec in, arrays out: read, tokenised, padded, split, once; afterwards memory-mapped from the cache.

Stand-ins: a source that is present, or would be downloaded, is used as documented. Otherwise its default stand-in is
used when that is present: the 50-dimensional GloVe vectors for the 100-dimensional ones, the 50,000 aclImdb reviews
for `movie_reviews.csv`. `--stand-in NAME=OTHER` decides differently, `NAME=none` forbids one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import csvfile, imdb, reviews, sources, vectors
from bench.data.dataset import Dataset, MultiHot, Part
from bench.data.text import Ragged, Tokenizer, pad_sequences
from bench.errors import DataError, Unavailable, unknown
from bench.spec import Data, Embedded, Embedding, Imdb, LabelledCsv, ReviewTexts, Vectors, Word2Vec

FORMAT = 1
"""Raised whenever the code that shapes or stores prepared arrays changes what comes out."""

FORBIDDEN = "none"
_BY_RULE = ""
_WORD2VEC = "GoogleNews-vectors-negative300"
_WORD_INDEX = "imdb_word_index.json"
_DEFAULT_STAND_INS = {"glove.6B.100d": "glove.6B.50d", "movie_reviews.csv": "aclImdb"}
_GLOVE_DIMENSIONS = {f"glove.6B.{dimension}d": dimension for dimension in (50, 100, 200, 300)}

Arrays = dict[str, NDArray[Any]]


def files_for(data: Data, embedding: Embedding | None) -> tuple[str, ...]:
    """Return the names of the documented sources (`bench.data.sources`) of `data` and of the embedding's vectors."""
    if isinstance(data, Embedded):
        return ()
    names = [_rows_source(data)]
    if embedding is not None and embedding.vectors is not None:
        names += [_WORD_INDEX] if isinstance(data, Imdb) else []
        names.append(_vectors_source(embedding.vectors))
    return tuple(names)


def stand_ins_for(data: Data, embedding: Embedding | None, asked: Mapping[str, str]) -> dict[str, str]:
    """Return which stand-ins apply here: documented source to the one that replaces it.

    `asked` holds what `--stand-in` said, for any case. Raises `UsageError` for a stand-in that cannot be, and
    `Unavailable` when a source can neither be had nor replaced.
    """
    for name, other in asked.items():
        _check_stand_in(name, other)
    applied = {}
    for name in files_for(data, embedding):
        other = asked.get(name, _BY_RULE)
        if other not in (_BY_RULE, FORBIDDEN):
            applied[name] = other
        elif sources.locate(name) is None and not sources.fetchable(name):
            applied[name] = _default_stand_in(name, forbidden=other == FORBIDDEN)
    return applied


def _default_stand_in(name: str, forbidden: bool) -> str:
    default = _DEFAULT_STAND_INS.get(name)
    if forbidden:
        reason = "its stand-in is forbidden by --stand-in"
    elif default is None:
        reason = "it has no stand-in"
    elif sources.locate(default) is None:
        reason = f"its stand-in {default} is missing too"
    else:
        return default
    raise Unavailable(f"{sources.missing(name)}; {reason}")


def _check_stand_in(name: str, other: str) -> None:
    replaceable = [*_GLOVE_DIMENSIONS, "movie_reviews.csv"]
    if not (name in replaceable or _is_csv(name)):
        raise unknown("source to stand in for", name, replaceable)
    if other == FORBIDDEN:
        return
    if name in _GLOVE_DIMENSIONS:
        smaller = [glove for glove, size in _GLOVE_DIMENSIONS.items() if size < _GLOVE_DIMENSIONS[name]]
        if other not in smaller:
            raise unknown(f"stand-in for {name}", other, [*smaller, FORBIDDEN])
    elif other != "aclImdb" and not _is_csv(other):
        raise unknown(f"stand-in for {name}", other, ["aclImdb", "FILE.csv", FORBIDDEN])


def _is_csv(name: str) -> bool:
    return name.endswith((".csv", ".csv.gz"))


def _rows_source(data: Imdb | ReviewTexts | LabelledCsv) -> str:
    match data:
        case Imdb():
            return "imdb.npz"
        case ReviewTexts():
            return "aclImdb"
        case LabelledCsv():
            return data.file


def _vectors_source(spec: Vectors) -> str:
    return _WORD2VEC if isinstance(spec, Word2Vec) else f"glove.6B.{spec.dimension}d"


def prepare(data: Data, embedding: Embedding | None, stand_ins: Mapping[str, str]) -> Dataset:
    """Return the prepared data of a case and the vectors of its embedding; `stand_ins` comes from `stand_ins_for`.

    Raises `Unavailable` when a file cannot be had, `DataError` when one is malformed or an id does not fit the
    embedding.
    """
    rows = _prepared_rows(data, stand_ins)
    _check_ids(data, embedding, rows.meta["max_id"])
    name, digest, matrix = rows.meta["name"], rows.meta["sha256"], None
    if embedding is not None and embedding.vectors is not None:
        table = _prepared_vectors(data, embedding, embedding.vectors, rows, stand_ins)
        matrix = table.arrays["vectors"]
        name = f"{name} + {table.meta['name']}"
        digest = hashlib.sha256(f"{digest} {table.meta['sha256']}".encode()).hexdigest()
    width = data.num_words if data.encoding == "multi-hot" else None
    return Dataset(
        name=name,
        sha256=digest,
        train=_part(rows.arrays, "train", width),
        validation=_part(rows.arrays, "validation", width) if "validation.y" in rows.arrays else None,
        test=_part(rows.arrays, "test", width) if "test.y" in rows.arrays else None,
        vectors=matrix,
        stand_in="; ".join(_described(name, other) for name, other in stand_ins.items()) or None,
    )


def _described(name: str, other: str) -> str:
    if name in _GLOVE_DIMENSIONS:
        size = _GLOVE_DIMENSIONS[other]
        return (
            f"{other} for {name}: real vectors in the first {size} columns, zeros in the other "
            f"{_GLOVE_DIMENSIONS[name] - size}"
        )
    return f"the 50,000 {other} reviews for {name}" if other == "aclImdb" else f"{other} for {name}"


def _check_ids(data: Data, embedding: Embedding | None, highest: int) -> None:
    limit = data.num_words if embedding is None else embedding.input_dim
    if highest >= limit:
        raise DataError(
            f"{type(data).__name__} data holds the id {highest}, but the model takes ids below {limit}; "
            "lower num_words or raise the input_dim of the Embedding"
        )


def _part(arrays: Arrays, part: str, width: int | None) -> Part:
    if width is None:
        return Part(arrays[f"{part}.x"], arrays[f"{part}.y"])
    return Part(MultiHot(arrays[f"{part}.ids"], arrays[f"{part}.offsets"], width), arrays[f"{part}.y"])


# --- rows --------------------------------------------------------------------------------------------------------

Labelled = tuple[Ragged, NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class _Split:
    """Sequences and labels by part, and the words of ranks 1, 2, ... where they were tokenised here."""

    parts: dict[str, Labelled]
    words: list[str] | None = None


def _prepared_rows(data: Data, stand_ins: Mapping[str, str]) -> _Stored:
    key: dict[str, Any] = {"data": type(data).__name__, **dataclasses.asdict(data)}
    read: Callable[[], _Split]
    match data:
        case Embedded():
            from bench.data import embedded

            name, read = "embedded", partial(_read_embedded, data)
            key["generator"] = embedded.VERSION
        case Imdb():
            name = "imdb"
            path, key["sha256"] = sources.obtain("imdb.npz")
            read = partial(_read_imdb, data, path)
        case ReviewTexts():
            name = "aclImdb"
            path, key["sha256"] = sources.obtain("aclImdb")
            read = partial(_read_reviews, data, path)
        case LabelledCsv():
            name = stand_ins.get(data.file, data.file)
            path, key["sha256"] = sources.obtain(name)
            key["stand_in"] = name
            key["scikit-learn"] = importlib.metadata.version("scikit-learn")
            read = partial(_read_csv, data, path, name == "aclImdb")
    return _stored(key, partial(_shape_rows, data, name, read))


def _read_embedded(data: Embedded) -> _Split:
    from bench.data import embedded

    made = embedded.corpus(data)._asdict()
    return _Split({part: (reviews.ids, reviews.labels) for part, reviews in made.items() if reviews is not None})


def _read_imdb(data: Imdb, path: Path) -> _Split:
    parts = {}
    halves = imdb.load(path, data.num_words)
    for half, wanted, (ids, labels) in zip(("train", "test"), (data.train, data.test), halves, strict=True):
        rows = len(ids) if wanted is None else wanted
        if rows > len(ids):
            raise DataError(f"{path}: {rows} {half} reviews asked for, the file has {len(ids)}")
        parts[half] = ids.take(np.arange(rows)), labels[:rows]
    return _Split(parts)


def _read_reviews(data: ReviewTexts, path: Path) -> _Split:
    (train, train_labels), (test, test_labels) = reviews.load(path)
    tokenizer = Tokenizer(data.num_words)
    parts = {
        "train": (tokenizer.fit(train), np.asarray(train_labels)),
        "test": (tokenizer.sequences(test), np.asarray(test_labels)),
    }
    return _Split(parts, tokenizer.words())


def _read_csv(data: LabelledCsv, path: Path, from_reviews: bool) -> _Split:
    from sklearn.model_selection import train_test_split

    if from_reviews:
        (train, train_labels), (test, test_labels) = reviews.load(path)
        deleted = str.maketrans(dict.fromkeys(data.remove))
        texts, labels = [text.translate(deleted) for text in train + test], train_labels + test_labels
    else:
        texts, labels = csvfile.load(path, data.remove)
    try:
        train_rows, validation_rows = train_test_split(
            np.arange(len(texts)), test_size=data.validation, random_state=data.split_seed, stratify=labels
        )
    except ValueError as error:
        raise DataError(f"{path}: cannot be split: {error}") from error
    tokenizer = Tokenizer(data.num_words, data.filters)
    y = np.asarray(labels)
    parts = {
        "train": (tokenizer.fit([texts[row] for row in train_rows]), y[train_rows]),
        "validation": (tokenizer.sequences([texts[row] for row in validation_rows]), y[validation_rows]),
    }
    return _Split(parts, tokenizer.words())


def _shape_rows(data: Data, name: str, read: Callable[[], _Split]) -> tuple[Arrays, dict[str, Any]]:
    split = read()
    arrays: Arrays = {}
    for part, (sequences, labels) in split.parts.items():
        strange = np.flatnonzero((labels != 0) & (labels != 1))
        if len(strange):
            raise DataError(f"{name}, {part} row {strange[0]}: the label must be 0 or 1, got {labels[strange[0]]}")
        arrays[f"{part}.y"] = labels.astype(np.float32)
        if data.encoding == "multi-hot":
            arrays[f"{part}.ids"], arrays[f"{part}.offsets"] = sequences.ids, sequences.offsets
        else:
            assert data.maxlen is not None
            arrays[f"{part}.x"] = pad_sequences(sequences, data.maxlen, data.padding, data.truncating)
    highest = max(int(sequences.ids.max(initial=0)) for sequences, _ in split.parts.values())
    return arrays, {"name": name, "max_id": highest, "words": split.words}


# --- vectors -----------------------------------------------------------------------------------------------------


def _prepared_vectors(
    data: Data, embedding: Embedding, spec: Vectors, rows: _Stored, stand_ins: Mapping[str, str]
) -> _Stored:
    key: dict[str, Any] = {
        "data": type(data).__name__,
        "vectors": type(spec).__name__,
        **dataclasses.asdict(spec),
        "input_dim": embedding.input_dim,
    }
    if isinstance(data, Embedded):
        from bench.data import embedded

        key["generator"] = embedded.VERSION
        return _stored(key, partial(_embedded_vectors, embedding))
    documented = _vectors_source(spec)
    name = stand_ins.get(documented, documented)
    path, key["sha256"] = sources.obtain(name)
    words: Callable[[], dict[str, int]]
    if isinstance(data, Imdb):
        index, key["words"] = sources.obtain(_WORD_INDEX)
        words = partial(imdb.word_ranks, index)
        offset = spec.offset if isinstance(spec, Word2Vec) else imdb.INDEX_FROM
    else:
        key["words"] = rows.key
        words = partial(_ranks, rows.meta["words"])
        offset = spec.offset if isinstance(spec, Word2Vec) else 0
    return _stored(key, partial(_read_vectors, path, name, embedding, words, offset))


def _ranks(words: list[str]) -> dict[str, int]:
    return {word: rank for rank, word in enumerate(words, start=1)}


def _read_vectors(
    path: Path, name: str, embedding: Embedding, words: Callable[[], dict[str, int]], offset: int
) -> tuple[Arrays, dict[str, Any]]:
    limit = embedding.input_dim
    wanted = {word: rank + offset for word, rank in words().items() if rank + offset < limit}
    matrix = np.zeros((limit, embedding.output_dim), np.float32)
    if name == _WORD2VEC:
        matrix[:] = vectors.load_word2vec(path, wanted, limit, embedding.output_dim)
    else:
        dimension = _GLOVE_DIMENSIONS[name]
        matrix[:, :dimension] = vectors.load_glove(path, wanted, limit, dimension)
    return {"vectors": matrix}, {"name": name}


def _embedded_vectors(embedding: Embedding) -> tuple[Arrays, dict[str, Any]]:
    from bench.data import embedded

    return {"vectors": embedded.vectors(embedding.input_dim, embedding.output_dim)}, {"name": "embedded vectors"}


# --- the cache of prepared arrays --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Stored:
    """Memory-mapped arrays of one folder of the cache, what is stored beside them, and the key they are found by."""

    arrays: Arrays
    meta: dict[str, Any]
    key: str


def _stored(shaped_by: dict[str, Any], make: Callable[[], tuple[Arrays, dict[str, Any]]]) -> _Stored:
    content = json.dumps({"format": FORMAT, **shaped_by}, sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()
    folder = sources.cache_dir() / "prepared" / key
    if not folder.is_dir():
        arrays, meta = make()
        _store(folder, arrays, meta)
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        arrays = {file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")}
    except (OSError, ValueError) as error:
        raise DataError(f"the prepared data in {folder} is damaged ({error}); delete that folder") from error
    return _Stored(arrays, meta, key)


def _store(folder: Path, arrays: Arrays, meta: dict[str, Any]) -> None:
    """Write a folder of the cache under another name and move it into place, so that nobody ever sees half of it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            for name, array in arrays.items():
                np.save(temporary / f"{name}.npy", array, allow_pickle=False)
            (temporary / "meta.json").write_text(json.dumps({**meta, "sha256": _content_hash(arrays)}))
            os.rename(temporary, folder)
        except OSError:
            shutil.rmtree(temporary)
            if not folder.is_dir():  # else another process was faster, with the same content
                raise
    except OSError as error:
        raise sources.unwritable(error) from error


def _content_hash(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
