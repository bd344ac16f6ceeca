"""What is trained: a case as a profile runs it, its model, its data and a seed, and all that follows from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Arrays, MaskSource, Network
from bench.backends.registry import backend, check_kernel, native
from bench.cases.catalog import Catalog
from bench.cases.cell import Cell, Profile
from bench.cases.model import Model, embedding_of, resolve
from bench.cases.profiles import apply
from bench.data import prepare, stand_ins_for
from bench.data.dataset import Dataset, Examples, Labels, Rows
from bench.data.randomness import stream
from bench.errors import UsageError
from bench.records.record import DataUsed
from bench.spec import Case, FirstRows, LastFraction, RandomRows, TestSet
from bench.training.weights import initial


@dataclass(frozen=True)
class Split:
    """Which rows of the train half are trained on, and the validation set (None: none).

    `fitted` are the rows given to `fit`: with a `validation_split` they contain the validation rows, as documents
    evaluate on them.
    """

    rows: Rows
    fitted: Rows
    validation: tuple[Examples, Rows] | None


class Batch(NamedTuple):
    """One training batch with its dropout masks, as `Network.train_step` takes it."""

    x: NDArray[Any]
    y: Labels
    masks: Arrays | None


@dataclass(frozen=True)
class Experiment:
    """A case, its model and its data; all that is drawn for it follows from `name` (`suite/case`) and `seed`.

    It is the same on every backend.
    """

    case: Case
    model: Model
    dataset: Dataset
    name: str
    seed: int

    @cached_property
    def split(self) -> Split:
        """Return the rows to train and to validate on; raise `UsageError` where the data has too few.

        The choice of random rows depends on the seed alone, so that smaller sets are parts of larger ones.
        """
        part = self.dataset.train
        available = len(part)
        everything = np.arange(available, dtype=np.intp)
        match self.case.training.validation:
            case None:
                held = self.dataset.validation
                validation = None if held is None else (held, np.arange(len(held), dtype=np.intp))
                return Split(everything, everything, validation)
            case LastFraction(fraction=fraction):
                # keras/src/trainers/data_adapters/array_slicing.py: split_at = floor(n * (1 - fraction))
                at = int(np.floor(available * (1.0 - fraction)))
                return Split(everything[:at], everything, (part, everything[at:]))
            case FirstRows(rows=rows):
                self._require(rows + 1)
                return Split(everything[rows:], everything[rows:], (part, everything[:rows]))
            case RandomRows(train=train, validation=validation_rows):
                self._require(train + validation_rows)
                shuffled = stream("rows", available, self.seed).permutation(available).astype(np.intp)
                chosen, rest = shuffled[:train], shuffled[train : train + validation_rows]
                return Split(chosen, chosen, (part, rest) if validation_rows else None)
            case TestSet():
                test = self.dataset.test
                if test is None:
                    raise UsageError(f"case {self.case.name!r} validates on the test set, and its data has none")
                return Split(everything, everything, (test, np.arange(len(test), dtype=np.intp)))

    def _require(self, rows: int) -> None:
        available = len(self.dataset.train)
        if rows > available:
            raise UsageError(f"case {self.case.name!r} needs {rows} training rows, its data has {available}")

    @property
    def batch_size(self) -> int:
        """Return how many rows a full batch has."""
        return min(self.model.batch_size, len(self.split.rows))

    @property
    def steps(self) -> int:
        """Return how many batches an epoch has, the partial one included."""
        return -(-len(self.split.rows) // self.model.batch_size)

    @property
    def weights(self) -> Arrays:
        """Return the initial weights."""
        return list(initial(self.model, self.name, self.seed, self.dataset.vectors))

    def order(self, epoch: int) -> Rows:
        """Return the training rows in the order of an epoch (from 1)."""
        rows = self.split.rows
        return rows[stream("order", self.name, self.seed, epoch).permutation(len(rows))]

    def masks(self, epoch: int) -> MaskSource | None:
        """Return the dropout masks of an epoch; None when the model has no dropout."""
        return mask_source(self.model, self.name, self.seed, epoch)

    def first_batch(self) -> Batch:
        """Return the first full batch of the first epoch."""
        rows, masks = self.order(1)[: self.batch_size], self.masks(1)
        part = self.dataset.train
        return Batch(part.x[rows], np.asarray(part.y[rows]), masks(0, len(rows)) if masks else None)

    def start(self, network: Network) -> None:
        """Give a new network the weights that the experiment starts from."""
        network.set_weights(self.weights)
        if self.model.differences:
            network.initialize(self.seed)
        network.synchronize()

    @property
    def data_used(self) -> DataUsed:
        """Return what a record says of the data."""
        dataset = self.dataset
        parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
        rows = {name: len(part) for name, part in parts.items() if part is not None}
        return DataUsed(name=dataset.name, sha256=dataset.sha256, rows=rows, stand_in=dataset.stand_in)


def mask_source(model: Model, name: str, seed: int, epoch: int) -> MaskSource | None:
    """Return the dropout masks of one epoch, the same for every backend; None when the model has no dropout."""
    specs = model.masks
    if not specs:
        return None

    def draw(step: int, rows: int) -> Arrays:
        random = stream("dropout", name, seed, epoch, step)
        masks: Arrays = []
        for spec in specs:
            keep = random.randint(0, 2**32, size=(rows, *spec.shape), dtype=np.uint32) >= np.uint32(spec.rate * 2**32)
            masks.append(keep * np.float32(1.0 / (1.0 - spec.rate)))
        return masks

    return draw


def dataset_of(case: Case, stand_ins: dict[str, str]) -> Dataset:
    """Return the data of a case; raise `Unavailable` or `DataError` where it is missing."""
    embedding = embedding_of(case)
    return prepare(case.data, embedding, stand_ins_for(case.data, embedding, stand_ins), case.classes)


def prepared(catalog: Catalog, cell: Cell, profile: Profile, stand_ins: dict[str, str]) -> Experiment:
    """Return the experiment of a cell; raise `Unavailable` or `DataError` where its data is missing."""
    suite, case = catalog.case(cell.case_name)
    case = apply(case, profile)
    model = resolve(suite, case, cell.numerics)
    return Experiment(case, model, dataset_of(case, stand_ins), cell.case_name, cell.seed)


def loaded(experiment: Experiment, cell: Cell) -> tuple[Experiment, Callable[[], Network]]:
    """Return the experiment with the model that the cell's backend builds, and what builds it; imports the framework.

    Raises `Unavailable` for what the backend cannot run, as may the building.
    """
    info = backend(cell.backend)
    model = native(info, experiment.model)
    check_kernel(info, model, cell.kernel, cell.device)
    return replace(experiment, model=model), partial(info.load(), model, cell.kernel, cell.device)
