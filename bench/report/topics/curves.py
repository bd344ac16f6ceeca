"""Learning curves: the documented and the measured ones."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from math import isnan
from statistics import fmean
from typing import Any

import pandas as pd

from bench.records.record import CASE, EpochScore
from bench.report.frames import MAIN, frame_of, once
from bench.report.results import Results
from bench.spec import Epoch


@once
def frame(results: Results) -> pd.DataFrame:
    """Return the documented learning curves and the measured ones: one row per case, column and epoch.

    Only cases whose document prints epochs and that were measured. The curve is validation accuracy where both have it,
    else the accuracy that `fit` prints while it trains. Columns: suite, case, curve ("val" or "fit"), column
    (None: the document), epoch, mean, low, high (least and most over seeds), n (seeds that trained that long).
    """
    groups = results.accuracy_groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        printed = case.documented.epochs if results.documented else ()
        variants = {
            variant: [record.metrics.epochs for record in records if record.status == "ok" and record.metrics]
            for variant, records in groups.get((suite.name, case.name), {}).items()
            if variant.numerics == MAIN
        }
        measured = [run for runs in variants.values() for run in runs]
        curve = next(
            (name for name in _CURVES if _accuracies(printed, name) and _accuracies(chain(*measured), name)),
            None,
        )
        if curve is None:
            continue
        shared = {"suite": suite.name, "case": case.name, "curve": curve}
        for epoch, line in enumerate(printed, 1):
            for figure in _accuracies([line], curve):
                rows.append(shared | {"epoch": epoch, "mean": figure, "low": figure, "high": figure, "n": 1})
        for variant, runs in sorted(variants.items()):
            column = places[suite.name, case.name, variant]
            for epoch in range(1, max(map(len, runs), default=0) + 1):
                values = _accuracies((run[epoch - 1] for run in runs if len(run) >= epoch), curve)
                if values:
                    spread = {"mean": fmean(values), "low": min(values), "high": max(values), "n": len(values)}
                    rows.append(shared | {"column": column, "epoch": epoch} | spread)
    return frame_of(rows, [*CASE, "curve", "column", "epoch", "mean", "low", "high", "n"])


_CURVES = ("val", "fit")


def _accuracies(lines: Iterable[Epoch | EpochScore], curve: str) -> list[float]:
    values = [line.val_accuracy if curve == "val" else line.accuracy for line in lines]
    return [value for value in values if value is not None and not isnan(value)]
