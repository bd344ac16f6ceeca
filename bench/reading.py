"""Records as reports read them: by the thousand, decoded only, as they were validated when they were stored.

The types are made from `bench.record.Record` and have its fields, those of its parts, and `cell`: whatever takes a
record takes these. Decoding one takes a fifth of the time of validating it, and a tenth of the memory.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from sys import intern
from typing import Any, Literal, Union, cast, get_args, get_origin

import msgspec
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from bench.record import Record

_NAMES = ("suite", "case", "backend", "kernel", "device", "numerics", "profile", "measure", "status")


def reader() -> Callable[[str], Record]:
    """Return a function that decodes the JSON of records, and holds once what many of them share.

    JSON that is none for a strict reader (a loss that is not a number) is read and validated as a `Record`.
    """
    decode = msgspec.json.Decoder(_light(Record)).decode
    shared: dict[tuple[str, ...], Any] = {}

    def read(text: str) -> Record:
        try:
            record = cast(Record, decode(text))
        except msgspec.DecodeError:
            return Record.model_validate_json(text)
        for name in _NAMES:
            setattr(record, name, intern(getattr(record, name)))
        variant = (record.suite, record.case, record.backend, record.kernel)
        for part in ("parameters", "data"):
            known = shared.setdefault((part, *variant), getattr(record, part))
            if known == getattr(record, part):
                setattr(record, part, known)
        return record

    return read


def plain(record: Record) -> dict[str, Any]:
    """Return a record, decoded or validated, as plain JSON values."""
    if isinstance(record, BaseModel):
        return record.model_dump(mode="json")
    return cast(dict[str, Any], msgspec.json.decode(msgspec.json.encode(record)))


@cache
def _light(model: type[BaseModel]) -> Any:
    """Return a struct with the fields of a model, and its properties."""
    fields: list[Any] = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = _type(field.annotation)
        if default is PydanticUndefined:
            fields.append((name, shown))
        elif isinstance(default, list | dict):
            fields.append((name, shown, msgspec.field(default_factory=type(default))))
        else:
            fields.append((name, shown, default))
    properties = {name: one for name, one in vars(model).items() if isinstance(one, property)}
    return msgspec.defstruct(model.__name__, fields, namespace=properties, kw_only=True, gc=False)


def _type(annotation: Any) -> Any:
    """Return an annotation with structs in place of models, and strings in place of literals."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _light(annotation)
    origin = get_origin(annotation)
    if origin is None:
        return annotation
    if origin is Literal:
        return str
    inner = tuple(map(_type, get_args(annotation)))
    return Union[inner] if origin in (Union, types.UnionType) else origin[inner]  # noqa: UP007
