"""A proof as a record: what was found for a case under one backend and kernel, stored as JSON and read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.cases.cell import Profile
from bench.errors import UsageError
from bench.files import write_file
from bench.records.record import DataUsed, Part, json_text, plain
from bench.spec import Device, Kernel

SCHEMA_VERSION = 1
Check = Literal["parameters", "forward", "gradient", "update", "training", "epoch", "evaluation", "precision"]
CHECKS: tuple[Check, ...] = (
    "parameters",
    "forward",
    "gradient",
    "update",
    "training",
    "epoch",
    "evaluation",
    "precision",
)
ProofVerdict = Literal["proven", "not proven", "unavailable", "not applicable"]
Mark = Literal["proven", "not proven", "not applicable"]


class Difference(Part, frozen=True, kw_only=True):
    """One value that is not what the reference says.

    `error` and `allowed` are relative, `place` is the index in the array.
    """

    check: Check
    dtype: str
    weight: str
    place: str
    expected: str
    found: str
    error: float
    allowed: float
    step: int | None = None

    def __str__(self) -> str:
        at = "" if self.step is None else f", step {self.step}"
        return (
            f"{self.check} ({self.dtype}{at}), {self.weight}{self.place}: expected {self.expected}, found {self.found} "
            f"(relative error {self.error:.1e}, allowed {self.allowed:.1e})"
        )


class Proof(Part, frozen=True, kw_only=True):
    """What was found for one case under one backend and kernel; `errors` are the largest by check and precision.

    `own` is what float32 costs this backend in a training step (median, relative), `free_running` how far the weights
    are from the reference's after all steps without coming back to it: reported, not judged. `same_as` names a case
    of the same model and data whose proof this is.
    """

    suite: str
    case: str
    backend: str
    kernel: Kernel
    device: Device = "cpu"
    numerics: str = "documented"
    verdict: ProofVerdict
    reason: str | None = None
    reference: str | None = None
    same_as: str | None = None
    profile: Profile | None = None
    data: DataUsed | None = None
    steps: int = 0
    errors: dict[Check, dict[str, float]] = msgspec.field(default_factory=dict)
    own: float | None = None
    free_running: float | None = None
    failures: list[Difference] = msgspec.field(default_factory=list)
    seconds: float = 0.0

    @property
    def case_name(self) -> str:
        """Return `suite/case`."""
        return f"{self.suite}/{self.case}"


def store(path: Path, proofs: Sequence[Proof], environment: dict[str, Any]) -> None:
    """Write proofs as JSON, with the environment they were made in."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "environment": environment,
        "records": [plain(proof) for proof in proofs],
    }
    write_file(path, json_text(content, indent=1) + "\n")


def read(path: Path) -> tuple[list[Proof], dict[str, Any]]:
    """Return what `store` wrote; raise `UsageError` for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise UsageError(
                f"{path} has schema version {content['schema_version']}, "
                f"this twinbench reads {SCHEMA_VERSION}; prove again"
            )
        return msgspec.convert(content["records"], list[Proof], strict=False), content["environment"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UsageError(f"{path} holds no stored proofs: {error}; `bench parity` writes them") from error


def load(path: Path) -> dict[tuple[str, str, str], Mark]:
    """Return the mark of every (`suite/case`, backend, kernel) of stored proofs; what is not in it was not proven."""
    proofs, _ = read(path)
    marks: dict[tuple[str, str, str], Mark] = {}
    for proof in proofs:
        known = proof.verdict in ("proven", "not proven")
        marks[proof.case_name, proof.backend, proof.kernel] = proof.verdict if known else "not applicable"  # type: ignore[assignment]
    return marks
