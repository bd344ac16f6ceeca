"""Word2vec vectors trained here, on the train texts of aclImdb: the default stand-in for the GoogleNews ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import spec
from bench.data import reviews, sources, vectors
from bench.data.text import Tokenizer
from bench.errors import DataError, Unavailable, install, unknown
from bench.files import replacing

NAME = "word2vec-imdb"
_DIMENSION = spec.Word2Vec().dimension
_MIN_COUNT = 5
_SETTINGS = {
    "sg": 1, "negative": 5, "vector_size": _DIMENSION, "window": 5, "min_count": _MIN_COUNT, "epochs": 5,
    "seed": 1, "workers": 1,
}  # fmt: skip


def make(name: str) -> tuple[Path, str]:
    """Train the vectors `name` unless they are present; return their path and sha256.

    Skip-gram with 5 negative samples, 300 dimensions, window 5, 5 epochs (Mikolov and others 2013), of words that occur
    5 times in the 25,000 train texts, split into words as Keras's index was. One worker and a fixed seed: the same
    bytes again on the same machine. Raises `UsageError` for another name, `Unavailable` without gensim or the texts,
    `DataError` when no word is frequent enough and when vectors that are present have another dimension.
    """
    if name != NAME:
        raise unknown("source to make", name, [NAME])
    if sources.locate(name) is None:
        _train()
    path, sha256 = sources.obtain(name)
    vectors.load_word2vec(path, {}, 0, _DIMENSION)
    return path, sha256


def _train() -> None:
    try:
        from gensim.models import Word2Vec
    except ModuleNotFoundError:
        raise Unavailable(f"{NAME} is trained by gensim, which is not installed; {install('vectors')}") from None
    archive, _ = sources.obtain("aclImdb")
    (texts, _), _ = reviews.load(archive)
    sentences = _sentences(archive, texts)
    print(f"training {NAME} on {archive}, which takes minutes", file=sys.stderr, flush=True)
    (file,) = sources.source(NAME).files
    folder = sources.cache_dir() / "files"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        model = Word2Vec(sentences, **_SETTINGS)
        with replacing(folder / file.name) as part:
            model.wv.save_word2vec_format(str(part), binary=True)
    except OSError as error:
        raise sources.unwritable(error) from error


def _sentences(archive: Path, texts: Sequence[str]) -> list[list[str]]:
    """Return the words of each text; raise `DataError` when none occurs as often as gensim needs."""
    tokenizer = Tokenizer(sys.maxsize)
    ranks = tokenizer.fit(texts)
    if np.bincount(ranks.ids, minlength=2)[1] < _MIN_COUNT:
        raise DataError(
            f"{archive}: no word occurs {_MIN_COUNT} times in its {len(texts):,} train texts, which is too small for "
            "word2vec; replace the archive (`bench data list` says where from)"
        )
    words = ["", *tokenizer.words()]
    return [[words[rank] for rank in ranks[i].tolist()] for i in range(len(ranks))]
