"""A suite of well- and ill-behaved cases, its data, and the command that runs them without a framework."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from hypothesis import HealthCheck, settings

from bench.cli import main
from bench.machine.processes import Child
from bench.records.record import Record
from bench.records.store import Store

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "tests" / "runner"

# How long an example takes is the machine's affair: it is no fault that a busy one is slow.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

SUITE = """
import sys
sys.path.insert(0, {here!r})
from fake_bench import *
from bench.spec import *

DATA = Embedded(num_words=30, maxlen=4, train=24, validation=8, test=8)
BEHAVIOURS = dict(fine=FINE, hangs=HANGS, allocates=ALLOCATES, diverges=DIVERGES, dies=DIES, raises=RAISES, exits=EXITS,
                  talks=TALKS, starves=STARVES, loops=LOOPS, leaves=LEAVES)

def case(name, width, words=30, data=DATA, **more):
    layers = (Embedding(words, width), Flatten(), Dense(1, "sigmoid"))
    return Case(name, data=data, layers=layers, training=Training("adam", epochs=3, batch_size=8), **more)

SUITE = Suite("fake", document="none", title="Cases that misbehave", era=KERAS_3, cases=(
    *(case(name, width) for name, width in BEHAVIOURS.items()),
    *(case(f"slow-{{i}}", SLOW, words=30 + i) for i in range(3)),
    case("gpu", FINE, requires=Requires("none", "cuda")),
    case("own-file", FINE, data=LabelledCsv("reviews.csv", num_words=30, maxlen=4, filters="", validation=0.25)),
    case("no-file", FINE, data=LabelledCsv("nowhere.csv", num_words=30, maxlen=4, filters="")),
))
"""


@pytest.fixture(autouse=True)
def _columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let lines be as wide as in a pipe, whatever the terminal that tests are started in says."""
    monkeypatch.delenv("COLUMNS", raising=False)


def kill(child: Child) -> None:
    """Kill a process of the package's own, which on Linux is its guardian's."""
    process = psutil.Process(child.process.pid)
    (process.children() or [process])[0].kill()


def call(*arguments: str) -> int:
    """Return the exit code of `bench` with `arguments`, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


class Training(NamedTuple):
    """What the fake backend notes when a training begins; the words of its Embedding tell the slow cases apart."""

    process: int
    width: int
    words: int
    parent: int


@dataclass
class Bench:
    """Runs `bench run` on the fake suite in a folder of its own."""

    folder: Path
    environment: dict[str, str]

    @property
    def store(self) -> Path:
        return self.folder / "store.sqlite"

    def command(self, *arguments: str, profile: str = "documented") -> list[str]:
        common = ["--profile", profile, "--suites", str(self.folder / "suite.py"), "--store", str(self.store)]
        # What comes later wins: a test may ask for timing.
        common += ["--measure", "accuracy"]
        return [sys.executable, str(HERE / "fake_bench.py"), "run", *common, *arguments]

    def __call__(
        self, *arguments: str, profile: str = "documented", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return self._ended(self.command(*arguments, profile=profile), environment)

    def verb(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another verb of `bench`."""
        return self._ended([sys.executable, str(HERE / "fake_bench.py"), *words], {})

    def _ended(self, words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        where = {**self.environment, **environment}
        return subprocess.run(words, env=where, cwd=self.folder, capture_output=True, text=True)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env={**self.environment, **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def statuses(self, run: str) -> dict[str, str]:
        return {case: record.status for case, record in self.records(run).items()}

    def records(self, run: str) -> dict[str, Record]:
        with Store(self.store) as store:
            return {record.case: record for record in store.records(run)}

    def trainings(self) -> list[Training]:
        """Return every training that was begun, in order."""
        log = self.folder / "trainings"
        return [Training(*map(int, line.split())) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(autouse=True, scope="session")
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let no timed run of these tests wait for another of this machine, not even for one of another pytest worker."""
    os.environ["XDG_RUNTIME_DIR"] = str(folder := tmp_path_factory.mktemp("runtime"))
    return folder


HOLD = """
import time
from bench.records.owner import timing_alone
with timing_alone():
    print("alone", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def timing_elsewhere() -> Iterator[subprocess.Popen[str]]:
    """Give another process that times, which is killed once somebody is said to wait for it."""
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "alone\n"

        def heard(record: logging.LogRecord) -> bool:
            if f"waiting for process {process.pid} on" in record.getMessage():
                process.kill()
            return True

        log = logging.getLogger("bench")
        log.addFilter(heard)
        yield process
        log.removeFilter(heard)
        process.kill()


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pytest that a test starts not take itself for a worker of pytest-xdist, where none measures."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """Let no test after one that trained with torch find denormal numbers flushed, as twins have them."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


def make_bench(folder: Path) -> Bench:
    """Return the command on the fake suite, which is written into a folder with its data."""
    (folder / "suite.py").write_text(SUITE.format(here=str(HERE)))
    words = ["good", "bad", "film", "plot"]
    lines = [f"{i % 2},{words[i % 4]} {words[(i * 7 + 1) % 4]} word{i}" for i in range(32)]
    (folder / "reviews.csv").write_text("label,text\n" + "\n".join(lines) + "\n")
    ours = {
        "PYTHONPATH": str(ROOT),
        "BENCH_DATA_DIR": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "FAKE_LOG": str(folder / "trainings"),
    }
    return Bench(folder, {**os.environ, **ours})


@pytest.fixture
def fake_bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)
