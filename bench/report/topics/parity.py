"""`parity.md`: case by backend and kernel, the largest error of each check, and whether the twins are proven."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.files import write_file
from bench.parity.proof import CHECKS, Proof
from bench.report.markdown import markdown_table, plain, versions
from bench.report.numbers import NOTHING
from bench.report.results import Results
from bench.report.sentences import count
from bench.report.topic import Answer, Table, Topic

HEADERS = ("case", "backend, kernel", *CHECKS, "free running", "verdict")


def write(proofs: Sequence[Proof], environment: dict[str, Any], path: Path) -> None:
    """Write the page of `proofs`."""
    compared = [proof for proof in proofs if proof.verdict in ("proven", "not proven", "not applicable")]
    parts = ["# Parity: do the backends train the same model?", sentence(proofs), _explained(proofs, environment)]
    failures = [
        f"- {plain(f'{proof.case_name}, {proof.backend},{proof.kernel}: {each}')}"
        for proof in proofs
        for each in proof.failures
    ]
    if failures:
        parts += ["## What differs", "\n".join(failures)]
    if compared:
        rows = [_row(proof) for proof in compared]
        table = markdown_table(HEADERS, rows, left=range(len(HEADERS)))
        parts += ["## Largest relative error of each check", table]
    unavailable = _unavailable(proofs)
    if unavailable:
        parts += ["## Not available here", unavailable]
    write_file(path, "\n\n".join(parts) + "\n")


def sentence(proofs: Sequence[Proof]) -> str:
    """Return the main finding in one sentence."""
    judged = [proof for proof in proofs if proof.reference]
    if not judged:
        return "No twins could be compared."
    proven = sum(proof.verdict == "proven" for proof in judged)
    cases = len({proof.case_name for proof in judged})
    text = f"Twins proven: {proven} of {len(judged)} (backend, kernel) twins of {cases} cases"
    doubles = [(by["float64"], kind) for proof in judged for kind, by in proof.errors.items() if "float64" in by]
    if doubles:
        error, kind = max(doubles)
        text += f"; the largest relative error in float64 is {error:.1e} ({kind})"
    return text + "."


def _explained(proofs: Sequence[Proof], environment: dict[str, Any]) -> str:
    references = sorted({proof.reference for proof in proofs if proof.reference})
    steps = sorted({proof.steps for proof in proofs if proof.steps})
    profiles = {
        profile: sum(p.profile == profile and p.steps > 0 for p in proofs) for profile in ("documented", "quick")
    }
    return (
        f"Reference: {', '.join(references) or 'none'}. Errors are float64 / float32, relative to the largest value of "
        f"an array (of an update: to its largest change). Each of {', '.join(map(str, steps)) or 'no'} training steps "
        "starts from the reference's weights and optimizer state. Free running is the distance of the weights after "
        "as many steps from one start; it is not judged. Rows on the documented data: "
        f"{profiles['documented']}, on generated text: {profiles['quick']}. Tolerances and their reasons: "
        "docs/parity.md. "
        f"Versions: {versions(environment)}."
    )


def _row(proof: Proof) -> list[str]:
    errors = [_errors(proof.errors.get(kind, {})) for kind in CHECKS]
    free = "" if proof.free_running is None else f"{proof.free_running:.0e}"
    verdict = f"**{proof.verdict}**" if proof.verdict == "not proven" else proof.verdict
    note = f" (as {plain(proof.same_as)})" if proof.same_as else (f" ({_short(proof.reason)})" if proof.reason else "")
    embedded = " (generated text)" if proof.profile == "quick" else ""
    return [plain(proof.case_name) + embedded, plain(f"{proof.backend}, {proof.kernel}"), *errors, free, verdict + note]


def _short(reason: str) -> str:
    """Return a reason that fits a table: of one with a traceback its first line, and its last, which has the error."""
    first, *rest = reason.strip().splitlines()
    return plain(f"{first}: {rest[-1]}" if rest else first)


def _errors(by_dtype: dict[str, float]) -> str:
    return " / ".join(f"{by_dtype[dtype]:.0e}" for dtype in ("float64", "float32") if dtype in by_dtype)


def _unavailable(proofs: Sequence[Proof]) -> str:
    """Return the reasons, each with what it keeps from running."""
    by_reason: dict[str, list[str]] = {}
    for proof in proofs:
        if proof.verdict == "unavailable":
            by_reason.setdefault(f"{proof.backend}, {proof.kernel}: {proof.reason}", []).append(proof.case_name)
    return "\n".join(f"- {plain(reason)}: {plain(', '.join(names))}" for reason, names in by_reason.items())


def answer(results: Results) -> Answer | None:
    """Return how many variants are proven to train the same model, by backend and kernel; None without a proof."""
    marks = {key: mark for key, mark in results.twins.items() if mark != "not applicable"}
    if not marks:
        return None
    proven = [key for key, mark in marks.items() if mark == "proven"]
    conclusion = f"{len(proven)} of {count(len(marks), 'variant')} are proven to train the same model, step by step."
    if len(proven) == len(marks):
        conclusion = f"Yes: proven step by step for {'all ' if len(marks) > 1 else ''}{count(len(marks), 'variant')}."
    lines = []
    for backend, kernel in sorted({key[1:] for key in marks}):
        cases = [case for case, *variant in marks if variant == [backend, kernel]]
        failed = [case for case in cases if (case, backend, kernel) not in proven]
        lines.append((backend, kernel, f"{len(cases) - len(failed)} of {len(cases)}", ", ".join(failed) or NOTHING))
    table = Table(("backend", "kernel", "proven", "not proven"), tuple(lines), left=(0, 1, 3))
    note = "A variant is a case under a backend and a kernel; references are counted."
    return Answer(conclusion, table, (("parity", "parity.md"),), (note,))


TOPIC = Topic("parity", question="Do the backends train the same model?", answer=answer)
