"""Lists of whole numbers in a pickle that NumPy wrote of an array of them, without `pickle`: nothing is executed.

`pickle.Unpickler` crashes the interpreter on some made-up inputs, whatever it admits. These pickles hold a handful of
opcodes (named in the standard library's `pickletools`): a regular expression finds the lists, and what is in all of
them is decoded side by side.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Ragged, offsets_of

_LONGEST = 50_000
"""Bytes of numbers in a row: `pickle` writes at most 1,000 numbers between two marks."""
# A memo, a frame of protocol 4: they say nothing here.
_VOID = rb"(?:q.|r.{4}|\x94|\x95.{8})"
_NAMES = rb"(?:numpy\._?core\.multiarray|_reconstruct|numpy|ndarray|dtype|O8|b|\|)"
# Protocol; globals, texts, memos, numbers, tuples, None, True, False, REDUCE, BUILD, MARK: an array and its state.
_HEAD = rb"\x80[\x02-\x05](?:c%s\n%s\n|[UC\x8c].%s|X.{4}%s|%s|h.|K.|M..|J.{4}|[\x85-\x89\x93NRbt(])*+" % (
    *([_NAMES] * 4),
    _VOID,
)
_NUMBER = rb"(?:%s*+(?:K.|M..|J.{4}))" % _VOID
_BEGIN = re.compile(_HEAD + rb"\]%s*+" % _VOID, re.DOTALL)
_LIST = re.compile(rb"%s*+\]%s*+(?:%s*+\(%s*+%s*+e|%sa)*+" % (_VOID, _VOID, _VOID, _NUMBER, _VOID, _NUMBER), re.DOTALL)
_BETWEEN = re.compile(rb"(?:%s|[(ea])*+" % _VOID, re.DOTALL)
_END = re.compile(rb"t%s*+b\." % _VOID, re.DOTALL)

_WIDTH = np.zeros(256, np.int64)  # bytes behind an opcode
_WIDTH[[*b"KMJqr\x95"]] = 1, 2, 4, 1, 4, 8
_MASK = np.zeros(256, np.int64)  # of the number among the 4 bytes behind an opcode, 0 where there is none
_MASK[[*b"KMJ"]] = 0xFF, 0xFFFF, 0xFFFFFFFF


def lists(content: bytes, rows: int) -> Ragged:
    """Return the lists of a pickled array of so many; raise `ValueError` for any other content.

    Numbers are not negative, and below 2^30: an int32 holds ids made of them.
    """
    begin = _BEGIN.match(content)
    place = begin.end() if begin else -1
    spans = []
    while 0 <= place < len(content):
        if found := _LIST.match(content, place):
            spans.append(found.span())
        elif not (found := _BETWEEN.match(content, place)) or found.end() == place:
            break
        place = found.end()
    if len(spans) != rows or not _END.fullmatch(content, max(place, 0)):
        raise ValueError(f"its pickle is no array of {rows:,} lists of word ranks")
    return _numbers(np.frombuffer(content + bytes(4), np.uint8), np.array(spans, np.int64).reshape(-1, 2))


def _numbers(content: NDArray[np.uint8], spans: NDArray[np.int64]) -> Ragged:
    """Return the numbers between the opcodes of each span: in turn the next opcode of all spans at once."""
    if len(spans) and (longest := int(np.diff(spans).max())) > _LONGEST:
        raise ValueError(f"a list in its pickle takes {longest:,} bytes, and {_LONGEST:,} are allowed")
    behind = np.ndarray((len(content) - 3,), "<u4", content.data, strides=(1,))  # any 4 bytes as a number
    held = np.zeros(len(spans), np.int64)
    at, end, row = spans[:, 0].copy(), spans[:, 1], np.arange(len(spans))
    slots = offsets_of(np.diff(spans)[:, 0] // 2 + 1)  # a number takes two bytes at least
    found = np.full(slots[-1], -1, np.int64)
    while len(row):
        opcode = content[at]
        mask = _MASK[opcode]
        numbers = np.flatnonzero(mask)
        found[slots[row[numbers]] + held[row[numbers]]] = behind[at[numbers] + 1] & mask[numbers]
        held[row[numbers]] += 1
        at += 1 + _WIDTH[opcode]
        if not (left := at < end).all():
            at, end, row = at[left], end[left], row[left]
    found = found[found >= 0]
    if found.max(initial=0) >= 2**30:
        raise ValueError("a number in its pickle is negative, or far beyond any word rank")
    return Ragged(found.astype(np.int32), offsets_of(held))
