"""The aclImdb review texts, straight from the archive: nothing is unpacked to disk."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import IO, cast

from bench.data.packed import BROKEN, Gunzipped
from bench.errors import DataError

_MEMBER = re.compile(r"(?:\./)?aclImdb/(?P<half>train|test)/(?P<label>neg|pos)/(?P<file>[^/]+\.txt)")
_LARGEST = 1_000_000
"""Bytes of a text, of which the longest of aclImdb has 13,704, and of what an archive may say of one."""

Texts = tuple[list[str], list[int]]


def load(path: Path) -> tuple[Texts, Texts]:
    """Return (texts, labels) of the train half and of the test half: first the negative texts, each label by file name.

    The order is that of document 001 (`for label_type in ['neg', 'pos']: for fname in sorted(...)`). Raises `DataError`
    with the archive's member when a text is empty, too long or not UTF-8, and when the archive is damaged.
    """
    found: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
    try:
        with Gunzipped(path, _LARGEST) as content, tarfile.open(fileobj=cast(IO[bytes], content), mode="r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps them, 2 kB each
                match = _MEMBER.fullmatch(member.name)
                if match is None or not member.isfile():
                    continue
                if member.size > _LARGEST:
                    raise DataError(f"{path}, {member.name}: a text of {member.size:,} bytes; replace the archive")
                stream = archive.extractfile(member)
                assert stream is not None
                found[match["half"]].append((match["label"], match["file"], _text(path, member.name, stream.read())))
    except BROKEN as error:
        raise DataError(f"{path} is not a readable archive: {error}") from error
    train, test = (_in_order(path, half, reviews) for half, reviews in found.items())
    return train, test


def _in_order(path: Path, half: str, reviews: list[tuple[str, str, str]]) -> Texts:
    if not reviews:
        raise DataError(f"{path} holds no review under aclImdb/{half}/neg or aclImdb/{half}/pos")
    reviews.sort()
    return [text for _, _, text in reviews], [int(label == "pos") for label, _, _ in reviews]


def _text(path: Path, member: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, {member}: not UTF-8 at byte {error.start}") from error
    if not text.strip():
        raise DataError(f"{path}, {member}: the text is empty")
    return text
