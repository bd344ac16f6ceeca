"""What a cell trains: its case as the profile runs it, its model, its data, and fresh networks of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.backends.base import Build, Network
from bench.backends.registry import backend, check_kernel, native
from bench.cases.catalog import Catalog
from bench.cases.cell import Cell, Profile
from bench.cases.model import Model, embedding_of, resolve
from bench.cases.profiles import apply
from bench.data import prepare, stand_ins_for
from bench.data.dataset import Dataset
from bench.spec import Case
from bench.training.weights import initial


@dataclass(frozen=True)
class Subject:
    """A cell's case, model and data, prepared."""

    cell: Cell
    case: Case
    model: Model
    dataset: Dataset


def subject(catalog: Catalog, cell: Cell, profile: Profile, stand_ins: dict[str, str]) -> Subject:
    """Prepare the data of a cell; raise `Unavailable` or `DataError` where it cannot be had."""
    suite, case = catalog.case(cell.case_name)
    case = apply(case, profile)
    model = resolve(suite, case, cell.numerics)
    embedding = embedding_of(case)
    return Subject(cell, case, model, prepare(case.data, embedding, stand_ins_for(case.data, embedding, stand_ins)))


def loaded(prepared: Subject) -> tuple[Subject, Build]:
    """Return the subject with the model that its backend builds, and its `build`; this imports the framework.

    Raises `Unavailable` for what the backend cannot run.
    """
    cell = prepared.cell
    info = backend(cell.backend)
    model = native(info, prepared.model)
    check_kernel(info, model, cell.kernel, cell.device)
    return replace(prepared, model=model), info.load()


def start(network: Network, prepared: Subject) -> None:
    """Give a new network the weights that its cell starts from."""
    model, cell = prepared.model, prepared.cell
    network.set_weights(initial(model, cell.case_name, cell.seed, prepared.dataset.vectors))
    if model.differences:
        network.initialize(cell.seed)
    network.synchronize()
