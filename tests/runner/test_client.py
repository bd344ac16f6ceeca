"""A network in another process answers as one in this process does, and its end is an error that says so."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.backends.registry import backend
from bench.errors import BenchError, Unavailable
from bench.runner import client
from bench.runner.client import Answering, Preparer, Server, ServerDied
from bench.spec import LSTM, Dropout, Embedded, Embedding, Flatten, LabelledCsv
from bench.training.experiment import dataset_of, mask_source
from tests.conftest import kill
from tests.networks import WORDS, case, model_of, rows, weights_of

pytest.importorskip("torch")

from bench.backends.torch.network import build

MODEL = model_of(case(Embedding(WORDS, 5), Dropout(0.2), LSTM(6, dropout=0.2)))


def test_a_remote_network_is_the_network() -> None:
    x, y = rows(37)
    order = np.random.RandomState(0).permutation(37)
    masks = mask_source(MODEL, "suite/case", 0, 1)
    assert masks
    here = build(MODEL, "generic", "cpu", "float64")
    with Server(backend("torch"), 1) as server:
        there = server.network(MODEL, "generic", "cpu", "float64")
        for network in (here, there):
            network.set_weights(weights_of(MODEL))
        assert there.parameters() == here.parameters()
        batch = x[:16], y[:16], masks(0, 16)
        np.testing.assert_allclose(
            there.gradients(*batch).gradients[1], here.gradients(*batch).gradients[1], atol=1e-14
        )
        assert there.train_step(*batch) == pytest.approx(here.train_step(*batch))
        assert there.train_epoch(x, y, order, masks).loss == pytest.approx(here.train_epoch(x, y, order, masks).loss)
        there.synchronize()
        assert there.device_peak_bytes() is None
        there.set_optimizer_state(here.get_optimizer_state())
        for one, other in zip(there.get_weights(), here.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
        np.testing.assert_allclose(there.logits(x), here.logits(x), atol=1e-12)
        assert len(there.get_optimizer_state()) == len(here.get_optimizer_state())


def test_what_goes_wrong_there_is_an_error_here() -> None:
    with Server(backend("torch"), 1) as server:
        with pytest.raises(Unavailable, match="no fused kernel: LSTM with hard_sigmoid_keras2 gates"):
            server.network(MODEL, "fused", "cpu")
        network = server.network(MODEL, "generic", "cpu")
        with pytest.raises(BenchError, match="torch: logits failed"):
            network.logits(np.full((1, 9), WORDS))
        kill(server.child)
        with pytest.raises(ServerDied, match=r"torch, get_weights: the process was killed by signal 9 \(SIGKILL\)"):
            network.get_weights()


STUB = "import os, pickle, struct, subprocess, sys, time; CHANNEL = int(sys.argv[1]); "
READS = "os.read(CHANNEL, 1); "
HOLDER = "subprocess.Popen([sys.executable, '-SEc', 'import time; time.sleep(600)'], pass_fds=[CHANNEL]); "


def sends(data: bytes) -> str:
    """Return the code of a process that reads, says `data` and lives on."""
    return f"{READS}os.write(CHANNEL, {data!r}); time.sleep(600)"


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answering]:
    """Return what makes a process that does `how` where it should answer."""

    monkeypatch.setattr("bench.machine.processes.END_SECONDS", 0.5)

    def make(how: str, seconds: float) -> Answering:
        monkeypatch.setattr(client, "command", lambda module: (sys.executable, "-SE", "-c", STUB + how))
        return Answering("stub", "stub", 1, {}, seconds=seconds)

    return make


@pytest.mark.parametrize(
    ("how", "told"),
    {
        "no pickle": (sends(framed(b"hello")), "invalid answer"),
        "no pair": (sends(framed(pickle.dumps(3))), "invalid answer"),
        "a class that is not there": (sends(framed(b"cno_module\nno_class\n.")), "invalid answer"),
        "an empty answer": (sends(framed(b"")), "lived on"),
        "a length below zero": (sends(b"\xff\xff\xff\xff" + b"\xff" * 8), "invalid answer"),
        "a length beyond memory": (sends(b"\xff\xff\xff\xff" + b"\x7f" + b"\xff" * 7), "invalid answer"),
        "a length of 3 GB": (
            sends(b"\xff\xff\xff\xff" + (3 << 30).to_bytes(8, "big")),
            "more than 2,147,483,648 bytes",
        ),
        "its end": ("os._exit(3)", "exit code 3"),
        "its end while its channel is held": (HOLDER + "os._exit(3)", "exit code 3"),
    }.values(),
)
def test_whatever_is_answered_ends_in_our_own_error(how: str, told: str, stub: Callable[..., Answering]) -> None:
    with stub(how, 60) as asked:
        with pytest.raises(ServerDied, match=told):
            asked.ask("something", "a request")
        assert asked.child.ended


@pytest.mark.parametrize("how", [READS + "time.sleep(600)", "time.sleep(600)", sends(b"\0\0\1\0half")])
def test_no_answer_is_waited_for_without_end(how: str, stub: Callable[..., Answering]) -> None:
    with stub(how, 0.5) as asked:
        with pytest.raises(TimeoutError):
            asked.ask("something", bytes(10_000_000))
        assert asked.child.ended


CSV = LabelledCsv("reviews.csv", num_words=30, maxlen=4, filters="", validation=0.25)
BROKEN: dict[str, Callable[[Path], object]] = {
    "never opens": os.mkfifo,
    "is a folder": Path.mkdir,
    "is no text": lambda file: file.write_bytes(b"label,text\n1,\xff\xfe\0\n" * 9),
    "is missing": lambda file: None,
}


def test_data_is_prepared_where_no_file_does_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BENCH_DATA_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    ours = replace(case(Embedding(WORDS, 2), Flatten()), data=CSV)
    file = tmp_path / CSV.file
    text = "label,text\n" + "\n".join(f"{i % 2},word{i} word{i % 5}" for i in range(32))
    with Preparer() as preparer:
        for what, make_broken in BROKEN.items():
            make_broken(file)
            preparer.seconds = 0.5 if what == "never opens" else 60
            assert preparer.sha256(ours, {}, 1e9) is None, what
            if file.is_dir():
                file.rmdir()
            file.unlink(missing_ok=True)
        preparer.seconds = 60
        file.write_text(text)
        assert preparer.sha256(ours, {}, 1e9) == dataset_of(ours, {}).sha256
        large = replace(ours, data=Embedded(num_words=30, maxlen=400, train=200_000, validation=8, test=8))
        assert preparer.sha256(large, {}, 1e8) is None
