"""A data spec in, arrays out: read, tokenised, padded, split, once; afterwards memory-mapped from the cache.

Stand-ins: a source that is present, or would be downloaded, is used as documented. Otherwise its default stand-in is
used when that is present: the 50-dimensional GloVe vectors for the 100-dimensional ones, word2vec vectors trained here
(`bench data make`) for the GoogleNews ones, the 50,000 aclImdb reviews for `movie_reviews.csv`. `--stand-in NAME=OTHER`
decides differently, `NAME=none` forbids one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import arrays as own_arrays
from bench.data import csvfile, embedded, embedded_features, imdb, reviews, sources, split, tables, vectors, word2vec
from bench.data.dataset import Dataset, Examples, Labelled, Labels, MultiHot
from bench.data.packed import BROKEN
from bench.data.text import KERAS_FILTERS, Tokenizer, pad_sequences
from bench.errors import DataError, Unavailable, UsageError, unknown
from bench.spec import (
    Arrays,
    Data,
    Embedded,
    EmbeddedFeatures,
    Embedding,
    Imdb,
    LabelledCsv,
    ReviewTexts,
    TextCsv,
    Vectors,
    Word2Vec,
)

FORMAT = 3
"""Raised whenever the code that shapes or stores prepared arrays changes what comes out."""

FORBIDDEN = "none"
_BY_RULE = ""
_UNFINISHED = "unfinished-"
_ABANDONED = 3600.0
"""Seconds after which an unfinished folder of the cache is that of a killed process: preparing takes minutes."""
log = logging.getLogger("bench")
_WORD2VEC = "GoogleNews-vectors-negative300"
_WORD_INDEX = "imdb_word_index.json"
_DEFAULT_STAND_INS = {"glove.6B.100d": "glove.6B.50d", "movie_reviews.csv": "aclImdb", _WORD2VEC: word2vec.NAME}
_STAND_INS = {
    "aclImdb": "the 50,000 aclImdb reviews",
    "rt_polarity.csv.gz": "the 10,662 sentences of rt_polarity",
    word2vec.NAME: "word2vec vectors trained on the aclImdb train texts",
}
"""What stand-ins are called in reports, where not by their names."""
_GLOVE_DIMENSIONS = {f"glove.6B.{dimension}d": dimension for dimension in (50, 100, 200, 300)}

Prepared = dict[str, NDArray[Any]]


def files_for(data: Data, embedding: Embedding | None) -> tuple[str, ...]:
    """Return the names of the documented sources (`bench.data.sources`) of `data` and of the embedding's vectors."""
    if isinstance(data, Embedded | EmbeddedFeatures):
        return ()
    names = [*_rows_sources(data)]
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
    yours = _rows_sources(data) if isinstance(data, TextCsv | Arrays) else ()
    applied = {}
    for name in files_for(data, embedding):
        other = asked.get(name, _BY_RULE)
        if name in yours and other not in (_BY_RULE, FORBIDDEN):
            raise UsageError(f"{name} is a file of yours: nothing stands in for it; declare the other file")
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
        reason = f"its stand-in {default} is missing too: {sources.source(default).how}"
    else:
        return default
    raise Unavailable(f"{sources.missing(name)}; {reason}")


def _check_stand_in(name: str, other: str) -> None:
    replaceable = [*_GLOVE_DIMENSIONS, _WORD2VEC, "movie_reviews.csv"]
    if not (name in replaceable or _is_csv(name)):
        raise unknown("source to stand in for", name, replaceable)
    if other == FORBIDDEN:
        return
    if name in _GLOVE_DIMENSIONS:
        possible = [glove for glove, size in _GLOVE_DIMENSIONS.items() if size < _GLOVE_DIMENSIONS[name]]
    elif name == _WORD2VEC:
        possible = [word2vec.NAME]
    elif _is_csv(other):
        return
    else:
        possible = ["aclImdb", "rt_polarity.csv.gz", "FILE.csv"]
    if other not in possible:
        raise unknown(f"stand-in for {name}", other, [*possible, FORBIDDEN])


def _is_csv(name: str) -> bool:
    return name.endswith((".csv", ".csv.gz"))


def _rows_sources(data: Imdb | ReviewTexts | LabelledCsv | TextCsv | Arrays) -> tuple[str, ...]:
    match data:
        case Imdb():
            return ("imdb.npz",)
        case ReviewTexts():
            return ("aclImdb",)
        case LabelledCsv():
            return (data.file,)
        case TextCsv() | Arrays():
            own = (part for part in (data.validation, data.test) if isinstance(part, str))
            return tuple(dict.fromkeys((data.file, *own)))


def _vectors_source(spec: Vectors) -> str:
    return _WORD2VEC if isinstance(spec, Word2Vec) else f"glove.6B.{spec.dimension}d"


def prepare(
    data: Data, embedding: Embedding | None, stand_ins: Mapping[str, str], classes: int | None = None
) -> Dataset:
    """Return the prepared data of a case and the vectors of its embedding; `stand_ins` comes from `stand_ins_for`.

    `classes` is how many the case tells apart, None where it ends in a sigmoid. Raises `Unavailable` when a file is
    missing, `DataError` when one is malformed, an id does not fit the embedding or a label the classes.
    """
    rows = _prepared_rows(data, stand_ins)
    _check_ids(data, embedding, rows.meta["max_id"])
    if isinstance(data, TextCsv | Arrays):
        _check_two_labels(rows)
    name, digest, matrix, found = rows.meta["name"], rows.meta["sha256"], None, None
    if embedding is not None and embedding.vectors is not None:
        table = _prepared_vectors(data, embedding, embedding.vectors, rows, stand_ins)
        matrix, found = table.arrays["vectors"], table.meta["found"]
        name = f"{name} + {table.meta['name']}"
        digest = hashlib.sha256(f"{digest} {table.meta['sha256']}".encode()).hexdigest()
    width = data.num_words if data.encoding == "multi-hot" else None
    return Dataset(
        name=name,
        sha256=digest,
        train=_examples(rows, "train", width, classes),
        validation=_examples(rows, "validation", width, classes) if "validation.y" in rows.arrays else None,
        test=_examples(rows, "test", width, classes) if "test.y" in rows.arrays else None,
        vectors=matrix,
        found=found,
        stand_in="; ".join(_described(name, other) for name, other in stand_ins.items()) or None,
    )


def _described(name: str, other: str) -> str:
    if name in _GLOVE_DIMENSIONS:
        size = _GLOVE_DIMENSIONS[other]
        return (
            f"{other} for {name}: real vectors in the first {size} columns, zeros in the other "
            f"{_GLOVE_DIMENSIONS[name] - size}"
        )
    return f"{_STAND_INS.get(other, other)} for {name}"


def _check_ids(data: Data, embedding: Embedding | None, highest: int) -> None:
    if isinstance(data, EmbeddedFeatures) or data.encoding == "features":
        return
    limit = data.num_words if embedding is None else embedding.input_dim
    if limit is not None and highest >= limit:
        raise DataError(
            f"{type(data).__name__} data holds the id {highest}, but the model takes ids below {limit}; "
            "lower num_words or raise the input_dim of the Embedding"
        )


def _examples(rows: _Stored, part: str, width: int | None, classes: int | None) -> Examples:
    arrays, y = rows.arrays, _labels(rows, part, classes)
    if width is None:
        return Examples(arrays[f"{part}.x"], y)
    return Examples(MultiHot(arrays[f"{part}.ids"], arrays[f"{part}.offsets"], width), y)


def _check_two_labels(rows: _Stored) -> None:
    y = rows.arrays["train.y"]
    if (y == y[0]).all():
        raise DataError(f"{rows.meta['name']}: every training row has the label {y[0]:g}; give rows of two at least")


def _labels(rows: _Stored, part: str, classes: int | None) -> Labels:
    """Return the labels of a part as a case takes them; raise `DataError` for one that it has no class for."""
    y = rows.arrays[f"{part}.y"]
    labels = classes or 2
    strange = np.flatnonzero(~np.isin(y, np.arange(labels)))
    if len(strange):
        wanted = "0 or 1" if labels == 2 else f"a whole number from 0 to {labels - 1}"
        called = f", one of {', '.join(rows.meta['classes'])}" if "classes" in rows.meta else ""
        raise DataError(
            f"{rows.meta['name']}, {part} row {strange[0]}: the label must be {wanted}, got {y[strange[0]]:g}{called}; "
            "correct the data, or end the layers in a softmax over as many classes as there are"
        )
    return y.astype(np.float32, copy=False) if classes is None else y.astype(np.int32)


# --- rows --------------------------------------------------------------------------------------------------------

Read = tuple[dict[str, Labelled], list[str] | None]
"""Sequences and labels by part, and the words of ranks 1, 2, ... where they were tokenised here."""
Shaped = tuple[Prepared, dict[str, Any]]
"""Arrays, and what is stored beside them."""


def _prepared_rows(data: Data, stand_ins: Mapping[str, str]) -> _Stored:
    key: dict[str, Any] = {"data": type(data).__name__, **dataclasses.asdict(data)}
    if isinstance(data, EmbeddedFeatures):
        key["generator"] = embedded_features.VERSION
        return _stored(key, lambda: (embedded_features.arrays(data), _meta("embedded features")))
    if isinstance(data, Embedded):
        key["generator"] = embedded.VERSION
        return _stored(key, lambda: _shape_rows(data, "embedded", (embedded.corpus(data), None)))
    names = [stand_ins.get(documented, documented) for documented in _rows_sources(data)]
    obtained = {name: sources.obtain(name) for name in names}
    files = {name: path for name, (path, _) in obtained.items()}
    key["sha256"] = " ".join(digest for _, digest in obtained.values())
    if isinstance(data, LabelledCsv):
        key["stand_in"] = names[0]
    if isinstance(data, LabelledCsv | TextCsv | Arrays):
        key["scikit-learn"] = importlib.metadata.version("scikit-learn")
    return _stored(key, lambda: _read(data, files, Path(names[0]).name))


def _meta(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "max_id": 0, "words": None, **more}


def _read(data: Imdb | ReviewTexts | LabelledCsv | TextCsv | Arrays, files: Mapping[str, Path], name: str) -> Shaped:
    path = next(iter(files.values()))
    match data:
        case Imdb():
            return _shape_rows(data, "imdb", (_read_imdb(data, path), None))
        case ReviewTexts():
            (train, train_labels), (test, test_labels) = reviews.load(path)
            parts = {"train": (train, train_labels), "test": (test, test_labels)}
            return _shape_rows(data, name, _tokenised(parts, Tokenizer(data.num_words)))
        case LabelledCsv():
            parts = _split_csv(data, path, name)
            return _shape_rows(data, name, _tokenised(parts, Tokenizer(data.num_words, data.filters)))
        case TextCsv():
            parts, labels = tables.load(data, files)
            filters = KERAS_FILTERS if data.filters is None else data.filters
            arrays, meta = _shape_rows(data, name, _tokenised(parts, Tokenizer(data.num_words, filters)))
            return arrays, {**meta, "classes": labels}
        case Arrays():
            found = own_arrays.load(data, files)
            arrays = {f"{part}.{kind}": array for part, held in found.items() for kind, array in held._asdict().items()}
            highest = max(int(held.x.max()) for held in found.values()) if data.encoding == "ids" else 0
            return arrays, _meta(name, max_id=highest)


def _read_imdb(data: Imdb, path: Path) -> dict[str, Labelled]:
    parts = {}
    halves = imdb.load(path, data.num_words)
    for half, wanted, (sequences, labels) in zip(("train", "test"), (data.train, data.test), halves, strict=True):
        rows = len(sequences) if wanted is None else wanted
        if rows > len(sequences):
            raise DataError(f"{path}: {rows} {half} reviews asked for, the file has {len(sequences)}")
        parts[half] = Labelled(sequences.take(np.arange(rows)), labels[:rows])
    return parts


def _split_csv(data: LabelledCsv, path: Path, name: str) -> dict[str, reviews.Texts]:
    if name == "aclImdb":
        (train, train_labels), (test, test_labels) = reviews.load(path)
        texts, labels = train + test, train_labels + test_labels
    else:
        texts, labels = csvfile.load(path)
    deleted = str.maketrans(dict.fromkeys(data.remove))
    rows = split.shares(path, labels, {"validation": data.validation}, data.split_seed)
    return {
        part: ([texts[row].translate(deleted) for row in taken], [labels[row] for row in taken])
        for part, taken in rows.items()
    }


def _tokenised(parts: dict[str, reviews.Texts], tokenizer: Tokenizer) -> Read:
    """Return the parts as sequences of ranks, learnt from the training texts."""
    read = {
        part: Labelled((tokenizer.fit if part == "train" else tokenizer.sequences)(texts), np.asarray(labels))
        for part, (texts, labels) in parts.items()
    }
    return read, tokenizer.words()


def _shape_rows(data: Imdb | ReviewTexts | LabelledCsv | TextCsv | Embedded, name: str, read: Read) -> Shaped:
    parts, words = read
    arrays: Prepared = {}
    for part, (sequences, labels) in parts.items():
        arrays[f"{part}.y"] = labels.astype(np.float32)
        if data.encoding == "multi-hot":
            arrays[f"{part}.ids"], arrays[f"{part}.offsets"] = sequences.ids, sequences.offsets
        else:
            assert data.maxlen is not None
            arrays[f"{part}.x"] = pad_sequences(sequences, data.maxlen, data.padding, data.truncating)
    highest = max(int(sequences.ids.max(initial=0)) for sequences, _ in parts.values())
    return arrays, _meta(name, max_id=highest, words=words)


# --- vectors -----------------------------------------------------------------------------------------------------


def _prepared_vectors(
    data: Data, embedding: Embedding, spec: Vectors, rows: _Stored, stand_ins: Mapping[str, str]
) -> _Stored:
    limit, width = embedding.input_dim, embedding.output_dim
    # The id of a word of rank r is r + 3 in rows as Keras's IMDB has them, r where the texts were tokenised here.
    own = imdb.INDEX_FROM if isinstance(data, Imdb | Embedded) else 0
    offset = spec.offset if isinstance(spec, Word2Vec) else own
    key: dict[str, Any] = {
        "data": type(data).__name__,
        "vectors": type(spec).__name__,
        **dataclasses.asdict(spec),
        "input_dim": limit,
    }
    if isinstance(data, Embedded):
        key["generator"] = embedded.VERSION
        return _stored(
            key,
            lambda: ({"vectors": embedded.vectors(limit, width, offset)}, {"name": "embedded vectors", "found": None}),
        )
    documented = _vectors_source(spec)
    name = stand_ins.get(documented, documented)
    path, key["sha256"] = sources.obtain(name)
    index: Path | None = None
    if isinstance(data, Imdb):
        index, key["words"] = sources.obtain(_WORD_INDEX)
    else:
        key["words"] = rows.key

    def read() -> Shaped:
        ranks = imdb.word_ranks(index) if index else {word: rank for rank, word in enumerate(rows.meta["words"], 1)}
        wanted = {word: rank + offset for word, rank in ranks.items() if rank + offset < limit}
        load = vectors.load_word2vec if isinstance(spec, Word2Vec) else vectors.load_glove
        found = load(path, wanted, limit, _GLOVE_DIMENSIONS.get(name, width))
        ranked = np.unique([*wanted.values()])
        share = float(np.any(found[ranked], axis=1).mean()) if len(ranked) else 0.0
        if not share:
            raise DataError(
                f"{path}: it has a vector for none of the {len(ranked):,} words of the data; see `bench data list`"
            )
        return {"vectors": np.pad(found, ((0, 0), (0, width - found.shape[1])))}, {"name": name, "found": share}

    return _stored(key, read)


# --- the cache of prepared arrays --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Stored:
    """Memory-mapped arrays of one folder of the cache, what is stored beside them, and the key they are found by."""

    arrays: Prepared
    meta: dict[str, Any]
    key: str


def _stored(shaped_by: dict[str, Any], make: Callable[[], Shaped]) -> _Stored:
    content = json.dumps({"format": FORMAT, **shaped_by}, sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()
    folder = sources.cache_dir() / "prepared" / key
    found = _opened(folder)
    if found is None:
        if folder.is_dir():
            log.warning("the prepared data in %s is not what was stored: prepared again", folder)
            _remove(folder)
        _store(folder, *make())
        found = _opened(folder)
    if found is None:
        raise DataError(f"the prepared data in {folder} changes while it is used; end what writes there, run again")
    return _Stored(*found, key)


_verified: set[tuple[Any, ...]] = set()
"""Folders whose content had its hash, each with the size and time of its files."""


def _opened(folder: Path) -> Shaped | None:
    """Return the arrays of a folder and what is stored beside them; None where they are not what was stored."""
    try:
        files = sorted(folder.iterdir())
        meta = json.loads((folder / "meta.json").read_bytes())
        check = meta.pop("check")
        arrays = {file.stem: np.load(file, mmap_mode="r") for file in files if file.suffix == ".npy"}
        state = (folder, *((file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files))
        if state not in _verified:
            if (meta["sha256"], check) != (_content_hash(arrays), _check(meta)):
                return None
            _verified.add(state)
    except (*BROKEN, AttributeError, MemoryError):  # whatever damage looks like
        return None
    return arrays, meta


def _check(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _store(folder: Path, arrays: Prepared, meta: dict[str, Any]) -> None:
    """Write a folder of the cache under another name and move it into place, so that nobody ever sees half of it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f"{_UNFINISHED}*"):  # by a process that was killed
            if left.stat().st_mtime < time.time() - _ABANDONED:
                _remove(left)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder.parent) as temporary:
            for name, array in arrays.items():
                np.save(Path(temporary, f"{name}.npy"), array, allow_pickle=False)
            meta = {**meta, "sha256": _content_hash(arrays)}
            Path(temporary, "meta.json").write_text(json.dumps({**meta, "check": _check(meta)}))
            os.rename(temporary, folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was faster, with the same content
            raise sources.unwritable(error) from error


def _remove(folder: Path) -> None:
    """Remove a folder of the cache; raise `DataError` where that is not allowed."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise sources.unwritable(error) from error


def _content_hash(arrays: Prepared) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
