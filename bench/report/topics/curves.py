"""Learning curves: the documented and the measured ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isnan
from statistics import fmean
from typing import Literal

from bench.records.record import EpochScore
from bench.report.frames import MAIN, CaseRow, once
from bench.report.results import Column, Results
from bench.report.topic import Topic
from bench.spec import Epoch

Curve = Literal["val", "fit"]


@dataclass(frozen=True)
class CurveRow(CaseRow):
    """A point of a learning curve: accuracies, mean, least and most, of the `n` seeds that trained that long.

    `curve`: accuracy on validation data, or what `fit` prints while it trains. `column` is None for the document.
    """

    curve: Curve
    column: Column | None
    epoch: int
    mean: float
    low: float
    high: float
    n: int


@once
def frame(results: Results) -> tuple[CurveRow, ...]:
    """Return the documented learning curves and the measured ones: one row per case, column and epoch.

    Only cases whose document prints epochs and that were measured. The curve is validation accuracy where both have it,
    else the accuracy that `fit` prints while it trains.
    """
    rows: list[CurveRow] = []
    for suite, case in results.cases():
        key = (suite.name, case.name)
        printed = case.documented.epochs if results.documented else ()
        columns = {
            column: [record.metrics.epochs for record in records if record.status == "ok" and record.metrics]
            for variant, column, records in results.placed(results.accuracy_groups, *key)
            if variant.numerics == MAIN
        }
        measured = [run for runs in columns.values() for run in runs]
        curve = next(
            (name for name in _CURVES if _accuracies(printed, name) and _accuracies(chain(*measured), name)),
            None,
        )
        if curve is None:
            continue
        for epoch, line in enumerate(printed, 1):
            rows += [CurveRow(*key, curve, None, epoch, value, value, value, 1) for value in _accuracies([line], curve)]
        for column, runs in columns.items():
            for epoch, mean, low, high, n in points(runs, curve):
                rows.append(CurveRow(*key, curve, column, epoch, mean, low, high, n))
    return tuple(rows)


def points(runs: Sequence[Sequence[EpochScore]], curve: Curve) -> Iterator[tuple[int, float, float, float, int]]:
    """Yield each epoch with the mean, least and most accuracy of the runs that trained that long, and their number."""
    for epoch in range(1, max(map(len, runs), default=0) + 1):
        values = _accuracies((run[epoch - 1] for run in runs if len(run) >= epoch), curve)
        if values:
            yield epoch, fmean(values), min(values), max(values), len(values)


_CURVES: tuple[Curve, ...] = ("val", "fit")


def _accuracies(lines: Iterable[Epoch | EpochScore], curve: Curve) -> list[float]:
    values = [line.val_accuracy if curve == "val" else line.accuracy for line in lines]
    return [value for value in values if value is not None and not isnan(value)]


TOPIC = Topic("curves", frame=frame)
