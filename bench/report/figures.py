"""The figures of a case: what its document prints, and where a record holds the same thing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from bench.cases.describe import at_epoch, documented_validation, log_ends
from bench.records import record as stored
from bench.records.record import Metrics, Record
from bench.spec import Case, Documented, Score, parts

FigureKind = Literal["test", "val", "best val", "train", "fit"]
FIGURE_KINDS: tuple[FigureKind, ...] = get_args(FigureKind)
SETS: dict[FigureKind, str] = {"test": "test", "val": "validation", "train": "training"}
"""The rows that a main figure is of: accuracies on different ones never share a column."""


class Found(NamedTuple):
    """A score that a record holds by parts, as one of its epochs."""

    loss: float
    accuracy: float
    rows: int


@dataclass(frozen=True)
class Figure:
    """A figure of a case: what the document prints (after an `epoch`, None: the last), and where a record holds it.

    `main` figures are those that the accuracy table shows and judges, one per case: test accuracy, else validation
    accuracy (and, where there is no test accuracy, the train accuracy that is printed beside it).
    """

    kind: FigureKind
    score: Score
    measured: Callable[[Metrics], stored.Scored | None]
    main: bool = False
    epoch: int | None = None

    @property
    def name(self) -> str:
        """Return the figure as tables name it, `test` or `val, epoch 2`."""
        return at_epoch(self.kind, self.epoch)

    @property
    def sampled(self) -> bool:
        """Return whether the figure is of rows held out from training, whose number limits what it can say."""
        return self.kind in ("test", "val")


def figures(case: Case, documented: Documented) -> list[Figure]:
    """Return the figures of a case, in the order in which they are shown.

    A printed log that breaks off before the last epoch is compared epoch by epoch: `val, epoch 2` is the measured
    figure after epoch 2. Where training stops early, the last printed line is the end and is compared with the measured
    end.
    """
    printed = documented.epochs
    val, val_at = documented_validation(documented, case.training)
    fit = Score(printed[-1].loss, printed[-1].accuracy) if printed else Score()
    fit_at = None if not printed or log_ends(documented, case.training) else len(printed)

    test, train = documented.test or Score(), documented.train or Score()
    test_is_main = test.accuracy is not None or (val.accuracy is None and not _validates_only(case))
    return [
        Figure("test", test, lambda metrics: _of(metrics, "test"), main=test_is_main),
        Figure("val", val, lambda metrics: _validation(metrics, val_at), main=not test_is_main, epoch=val_at),
        Figure("best val", Score(), lambda metrics: metrics.best.validation if metrics.best else None),
        Figure(
            "train",
            train,
            lambda metrics: _of(metrics, "train"),
            main=not test_is_main and train.accuracy is not None,
        ),
        Figure("fit", fit, lambda metrics: _fit(metrics, fit_at), epoch=fit_at),
    ]


def _validates_only(case: Case) -> bool:
    """Return whether the data of a case has no test part, as a labelled CSV, which is only split in two."""
    return "test" not in parts(case.data)


def _of(metrics: Metrics, part: str) -> stored.Scored | None:
    score: stored.Scored | None = getattr(metrics.last, part) if metrics.last else None
    return score


def _validation(metrics: Metrics, epoch: int | None) -> stored.Scored | None:
    final = _of(metrics, "validation")
    if epoch is None or final is None or epoch > len(metrics.epochs):
        return final if epoch is None else None
    line = metrics.epochs[epoch - 1]
    if line.val_loss is None or line.val_accuracy is None:
        return None
    return Found(line.val_loss, line.val_accuracy, final.rows)


def _fit(metrics: Metrics, epoch: int | None) -> stored.Scored | None:
    number = len(metrics.epochs) if epoch is None else epoch
    if not 0 < number <= len(metrics.epochs):
        return None
    line = metrics.epochs[number - 1]
    return Found(line.loss, line.accuracy, 0)


def by_seed(measured: Callable[[Metrics], stored.Scored | None], records: Iterable[Record]) -> dict[int, float]:
    """Return the accuracy that `measured` finds in each record that ended ok, by seed."""
    found = {}
    for record in records:
        score = measured(record.metrics) if record.status == "ok" and record.metrics else None
        if score is not None:
            found[record.seed] = score.accuracy
    return found
