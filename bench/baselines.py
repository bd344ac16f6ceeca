"""Baselines: the figures of a run as a small text file, which people review and comparisons read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import UsageError
from bench.exports import check_version
from bench.quantities import QUANTITIES, quantity
from bench.record import SCHEMA_VERSION

if TYPE_CHECKING:
    from bench.measured import Measured

FOLDER = Path("reports") / "baselines"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CellFigures(_Part):
    """What was measured of one cell: lists with an entry for every seed and repeat; those of no content are left out.

    `data` is the sha256 of its data. `figures` are lists by quantity.
    """

    data: str | None = None
    seed: list[int]
    repeat: list[int]
    status: list[str] = []
    reason: list[str | None] = []
    figures: dict[str, list[float | None]] = {}

    @model_validator(mode="after")
    def _lists_fit(self) -> CellFigures:
        lengths = {"repeat": len(self.repeat)} | {name: len(values) for name, values in self.figures.items()}
        lengths |= {"status": len(self.status or self.seed), "reason": len(self.reason or self.seed)}
        for name, length in lengths.items():
            if length != len(self.seed):
                raise ValueError(f"{name} has {length} entries, seed has {len(self.seed)}")
        for name in self.figures:
            if name not in QUANTITIES:
                raise ValueError(f"unknown quantity {name!r}; known: {', '.join(QUANTITIES)}")
        return self


class Baseline(_Part):
    """A saved run. `forced` says what spoke against saving it."""

    baseline: str
    schema_version: int
    run: str
    profile: str
    saved: str
    forced: list[str]
    environments: list[dict[str, Any]]
    cells: dict[str, CellFigures] = Field(min_length=1)

    def frame(self) -> pd.DataFrame:
        """Return the rows as `bench.measured` has them."""
        parts = []
        for name, cell in self.cells.items():
            columns: dict[str, Any] = {"cell": name, "seed": cell.seed, "repeat": cell.repeat}
            columns |= {"status": cell.status or "ok", "reason": cell.reason or None, "data": cell.data}
            parts.append(pd.DataFrame(columns | {known: cell.figures.get(known) for known in QUANTITIES}))
        return pd.concat(parts, ignore_index=True)


def load(document: Mapping[str, Any], path: Path) -> Baseline:
    """Return the baseline that was read from `path`; raise `UsageError`, naming the place, where it is none."""
    check_version(document, path)
    try:
        return Baseline.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: {place}: {first['msg']}; save the baseline again") from error


def path_of(name: str, folder: Path) -> Path:
    """Return the file of a baseline; raise `UsageError` for a name that is none of a file."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"baseline {name!r}: letters, digits, '.', '_' and '-' make a name")
    return folder / f"{name}.json"


def text(name: str, run: Measured, saved: str, forced: Sequence[str]) -> str:
    """Return the content of the file: cells by name, a line for every list, six significant digits.

    Raises `UsageError` for a run whose cell ran on different data.
    """
    head = {
        "baseline": name,
        "schema_version": SCHEMA_VERSION,
        "run": run.name,
        "profile": run.profile,
        "saved": saved,
        "forced": list(forced),
        "environments": list(run.environments),
    }
    cells = ",\n".join(
        f"  {json.dumps(str(cell))}: {{\n{_cell(str(cell), rows)}\n  }}"
        for cell, rows in run.frame.groupby("cell", sort=True, observed=True)
    )
    return json.dumps(head, indent=1, sort_keys=False).removesuffix("\n}") + ',\n "cells": {\n' + cells + "\n }\n}\n"


def _cell(name: str, rows: pd.DataFrame) -> str:
    rows = rows.sort_values(["seed", "repeat"])
    data = sorted(set(rows["data"].dropna()))
    if len(data) > 1:
        raise UsageError(f"{name} ran on different data ({', '.join(one[:8] for one in data)}); measure it again")
    lines = {"data": json.dumps(data[0] if data else None)}
    lines |= {column: json.dumps(rows[column].astype(int).tolist()) for column in ("seed", "repeat")}
    if (rows["status"] != "ok").any():
        lines |= {column: json.dumps(rows[column].tolist()) for column in ("status", "reason")}
    figures = {
        known: f"[{', '.join(_number(known, figure) for figure in rows[known])}]"
        for known in QUANTITIES
        if rows[known].notna().any()
    }
    lines["figures"] = (
        "{\n" + ",\n".join(f"    {json.dumps(key)}: {value}" for key, value in figures.items()) + "\n   }"
    )
    return ",\n".join(f"   {json.dumps(key)}: {value}" for key, value in lines.items())


def _number(name: str, figure: float) -> str:
    if pd.isna(figure):
        return "null"
    return f"{figure:.0f}" if quantity(name).kind in ("count", "memory") else f"{figure:.6g}"
