"""Reads bad files in children that may take so much memory and time: what is no `BenchError` there is a finding.

`nox -s fuzz` changes good files at random for three minutes, `nox -s fuzz -- --seconds N` for N seconds, and
`nox -s fuzz -- --hostile [PATTERN]` reads those of `tests/fuzz/hostile.py` and prints what each takes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from bench.errors import BenchError
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.readers import READERS, Reader

MEMORY, SECONDS = 4_000_000_000, 20
"""What a child may take: bytes of address space beyond those it begins with, seconds of the processor."""
BATCH = 100
"""Inputs that a child reads."""
FINE = ("read", "refused")
TOKENS = [
    *(b"\0", b"\xff", b"\n", b" ", b",", b'"', b"[", b"]", b"{", b"}", b"-", b"9" * 20, b"NaN", b"1e999", b"null"),
    *(b"\\ud800", b"\xc3", b"PK\x01\x02", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"(", b"K"),
]
"""What parsers may stumble on."""
Findings = dict[str, Path]
"""What was found, each with a file that shows it."""


def mutated(content: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Return a content with a few bytes flipped, cut, doubled, moved, or put in from elsewhere."""
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(found) + 1)
        end = min(len(found), at + chance.choice((1, 2, 4, 8, 64, 512)))
        match chance.randrange(7):
            case 0 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at:end] = chance.choice(TOKENS)
            case 2:
                del found[at:end]
            case 3:
                found[at:at] = found[at:end] * chance.choice((1, 2, 100))
            case 4:
                found[at:at] = chance.choice(TOKENS)
            case 5:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                found[at:end] = other[start : start + end - at]
            case _ if at < len(found):
                found[at] = chance.randrange(256)
    return bytes(found)


def inputs(reader: Reader, seed: int) -> Iterator[bytes]:
    """Yield bad files of a reader without end, the same ones for a seed; packed ones are changed inside, too."""
    chance = random.Random(seed)
    good = list(reader.good())
    while True:
        content = chance.choice(good)
        inside = reader.inside if chance.random() < 0.5 else None
        yield inside(content, lambda part: mutated(part, chance, good)) if inside else mutated(content, chance, good)


def outcome(reader: Reader, path: Path) -> str:
    """Return `read` or `refused`, and for anything else what is wrong."""
    try:
        reader.read(path)
    except BenchError as error:
        return "refused" if str(error) else "an error without words"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {str(error)[:100]}"
    return "read"


def in_child(do: Callable[[int], object], memory: int, seconds: int) -> tuple[str, int]:
    """Return what `do` writes into the descriptor that it is given in a child with limits, and how the child ended."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        memory += 4096 * int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            do(into)
            os._exit(0)
        finally:  # never on into what the parent does next
            os._exit(1)
    os.close(into)
    with os.fdopen(out, "rb") as answer:
        told = answer.read().decode()
    return told, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fuzz(readers: Mapping[str, Reader], seed: int, rounds: Iterator[object], size: int = BATCH) -> tuple[int, Findings]:
    """Let a child read `size` inputs of each reader in every round; return how many were read, and the findings."""
    count, found = 0, Findings()
    kept = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for number, _ in enumerate(rounds):
        for name, reader in readers.items():
            outcomes = batch(reader, seed + number, kept, size)
            count += len(outcomes)
            found |= {f"{name}: {said}": _kept(kept, reader, said) for said in outcomes if said not in FINE}
    if not found:
        shutil.rmtree(kept)
    return count, found


def batch(reader: Reader, seed: int, kept: Path, size: int) -> list[str]:
    """Let a child read inputs; return what came of each, and at last how the child ended where it should not have."""
    path = Path(tempfile.mkdtemp(dir=kept), reader.name)

    def read(into: int) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        for content in islice(inputs(reader, seed), size):
            path.write_bytes(content)
            if (said := outcome(reader, path)) not in FINE:
                _kept(kept, reader, said).write_bytes(content)
            os.write(into, f"{said}\n".encode(errors="backslashreplace"))

    told, code = in_child(read, MEMORY, SECONDS)
    outcomes = told.splitlines()
    if code:
        outcomes.append(f"the process ended: {signal.Signals(-code).name if code < 0 else f'exit code {code}'}")
        if path.exists():
            _kept(kept, reader, outcomes[-1]).write_bytes(path.read_bytes())
    return outcomes


def _kept(kept: Path, reader: Reader, said: str) -> Path:
    return kept / f"{hashlib.sha256(said.encode(errors='replace')).hexdigest()[:12]}-{reader.name}"


def until(seconds: float) -> Iterator[float]:
    """Yield until so many seconds are over, once at least."""
    end = time.monotonic() + seconds
    yield end
    while time.monotonic() < end:
        yield end


def peak() -> int:
    """Return the most memory that this process had, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def hostile(pattern: str) -> int:
    """Read the hostile files whose names match, print what each takes, and return how many are findings."""
    found = 0
    print("| file | its size, MB | peak memory, MB | seconds | what came of it |\n|---|---|---|---|---|")
    for name, (reader, make) in HOSTILE.items():
        if not fnmatch(name, pattern):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, READERS[reader].name)
            in_child(lambda _, path=path, make=make: path.write_bytes(make()), 1 << 40, 600)
            size = path.stat().st_size

            def read(into: int, path: Path = path, reader: Reader = READERS[reader]) -> None:
                before, began = peak(), time.process_time()
                said = outcome(reader, path)
                took = f"{(peak() - before) / 1e6:,.0f} | {time.process_time() - began:.1f}"
                os.write(into, f"{took} | {said}".encode(errors="backslashreplace"))

            told, code = in_child(read, 3 * MEMORY, 3 * SECONDS)
        found += bool(code) or told.rpartition(" | ")[2] not in FINE
        print(f"| {name} | {size / 1e6:.3f} | {told or f' | | ended: {code}'} |", flush=True)
    return found


def main() -> None:
    """Fuzz, or read hostile files; exit with 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", help="names of readers, all by default")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--hostile", nargs="?", const="*")
    told = parser.parse_args()
    if told.hostile:
        sys.exit(hostile(told.hostile) > 0)
    readers = {name: READERS[name] for name in told.readers or READERS}
    count, found = fuzz(readers, told.seed, until(told.seconds))
    print(f"{count:,} inputs from seed {told.seed}: {len(found)} findings")
    for said, path in found.items():
        print(f"{said}\n  {path}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
