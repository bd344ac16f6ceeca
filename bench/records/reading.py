"""Records as reports read them: by the thousand, decoded only, as they were validated when they were stored.

The types are made from `bench.records.record.Record` and have its fields, those of its parts, and `cell`: whatever
takes a record takes these. Decoding one takes a fifth of the time of validating it. Its long lists are packed: a number
takes eight bytes, in a list of Python's thirty-two.
"""

from __future__ import annotations

import math
import re
import struct
import types
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from sys import intern
from typing import Any, Literal, Union, cast, get_args, get_origin, overload

import msgspec
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from bench.records.record import EpochScore, Record

CURVES = (("metrics", "epochs"), ("timing", "epochs"), ("timing", "windows"), ("timing", "latency"))
"""The long lists of a record, (part, field): they are stored apart from it, where they are not empty."""
_NAMES = ("suite", "case", "backend", "numerics")
_SHARED = ("parameters", "data")
_PARTS = {part: re.compile(rf'"{part}":\s*{{') for part, _ in CURVES}


def joined(content: str, samples: Sequence[str | None]) -> str:
    """Return the JSON of a record with its samples, one for each of `CURVES`, put back: as the first field of its part.

    A part is told by its key and the brace behind it: in a text the quotes would be escaped.
    """
    for (part, field), sample in zip(CURVES, samples, strict=True):
        if sample is not None:
            start = _PARTS[part].search(content)
            assert start, f"a record has samples of its {part}, and no {part}"
            content = f'{content[: start.end()]}"{field}": {sample}, {content[start.end() :]}'
    return content


def reader() -> Callable[[str, Sequence[str | None]], Record]:
    """Return a function that decodes the JSON of a record and of its `CURVES`, and holds once what many of them share.

    JSON that is none for a strict reader (a loss that is not a number) is read and validated as a `Record`.
    """
    decode = msgspec.json.Decoder(_light(Record)).decode
    parts = {name: msgspec.json.Decoder(_type(Record.model_fields[name].annotation)).decode for name in _SHARED}
    packed = tuple(zip(CURVES, (_Epochs, _floats, _Windows, _floats), strict=True))
    shared: dict[tuple[str, bytes], Any] = {}

    def read(content: str, samples: Sequence[str | None]) -> Record:
        try:
            record = cast(Record, decode(content))
            for ((part, field), pack), sample in zip(packed, samples, strict=True):
                if sample is not None:
                    setattr(getattr(record, part), field, pack(sample))
            for name, decoded in parts.items():
                key = name, bytes(getattr(record, name))
                if key not in shared:
                    shared[key] = decoded(key[1])
                setattr(record, name, shared[key])
        except msgspec.DecodeError:
            return Record.model_validate_json(joined(content, samples))
        for name in _NAMES:
            setattr(record, name, intern(getattr(record, name)))
        return record

    return read


def plain(record: Record) -> dict[str, Any]:
    """Return a record, decoded or validated, as plain JSON values."""
    if isinstance(record, BaseModel):
        return record.model_dump(mode="json")
    return cast(dict[str, Any], msgspec.json.decode(msgspec.json.encode(record, enc_hook=list)))


# --- packed lists ------------------------------------------------------------------------------------------------


_numbers = msgspec.json.Decoder(list[float]).decode


def _floats(text: str) -> array[float]:
    return array("d", _numbers(text))


class _Windows(Sequence[tuple[int, float]]):
    """Pairs of steps and seconds."""

    __slots__ = ("_flat",)

    def __init__(self, text: str) -> None:
        self._flat = _floats(f"[{text.replace('[', '').replace(']', '')}]")

    def __len__(self) -> int:
        return len(self._flat) // 2

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return zip(map(int, self._flat[::2]), self._flat[1::2], strict=True)

    @overload
    def __getitem__(self, place: int) -> tuple[int, float]: ...

    @overload
    def __getitem__(self, place: slice) -> list[tuple[int, float]]: ...

    def __getitem__(self, place: int | slice) -> tuple[int, float] | list[tuple[int, float]]:
        return list(self)[place]


class _Epochs(Sequence[EpochScore]):
    """Lines of a log, one for each epoch; they are made when they are asked for."""

    __slots__ = ("_values",)

    def __init__(self, text: str) -> None:
        flat = list(chain.from_iterable(map(msgspec.structs.astuple, _lines(text))))
        try:
            self._values = struct.pack(f"{len(flat)}d", *flat)
        except struct.error:  # JSON has no nan, so it can stand for what a line lacks
            self._values = struct.pack(f"{len(flat)}d", *(math.nan if value is None else value for value in flat))

    def __len__(self) -> int:
        return len(self._values) // _LINE.size

    @overload
    def __getitem__(self, place: int) -> EpochScore: ...

    @overload
    def __getitem__(self, place: slice) -> list[EpochScore]: ...

    def __getitem__(self, place: int | slice) -> EpochScore | list[EpochScore]:
        places = range(len(self))[place]
        return [self._line(one) for one in places] if isinstance(places, range) else self._line(places)

    def _line(self, place: int) -> EpochScore:
        values = _LINE.unpack_from(self._values, place * _LINE.size)
        known = {name: make(value) for (name, make), value in zip(_FIELDS, values, strict=True) if value == value}
        return cast(EpochScore, _light(EpochScore)(**known))


_FIELDS = [(name, int if field.annotation is int else float) for name, field in EpochScore.model_fields.items()]
_LINE = struct.Struct(f"{len(_FIELDS)}d")


# --- types -------------------------------------------------------------------------------------------------------


@cache
def _light(model: type[BaseModel]) -> Any:
    """Return a struct with the fields of a model, and its properties."""
    fields: list[Any] = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = _type(field.annotation)
        if model is Record and name in _SHARED:
            shown = msgspec.Raw
        if default is PydanticUndefined and name in {curve for _, curve in CURVES}:
            default = []  # it is stored apart
        if default is PydanticUndefined:
            fields.append((name, shown))
        elif isinstance(default, list | dict):
            fields.append((name, shown, msgspec.field(default_factory=type(default))))
        else:
            fields.append((name, shown, default))
    properties = {name: one for name, one in vars(model).items() if isinstance(one, property)}
    return msgspec.defstruct(model.__name__, fields, namespace=properties, kw_only=True, gc=False)


def _type(annotation: Any) -> Any:
    """Return an annotation with structs in place of models."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _light(annotation)
    origin = get_origin(annotation)
    if origin in (None, Literal):
        return annotation
    inner = tuple(map(_type, get_args(annotation)))
    return Union[inner] if origin in (Union, types.UnionType) else origin[inner]  # noqa: UP007


_lines = msgspec.json.Decoder(list[_light(EpochScore)]).decode  # type: ignore[misc]
