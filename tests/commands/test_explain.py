"""`bench explain` as its users meet it: what it runs, writes and prints, how it goes on, how it exits."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.records.store import Store
from tests.conftest import HERE, Bench, call

CASE = "fake/fine"
NUMERICS = ["matched", "documented", "native", "native:init", "native:init:embedding", "native:init:dense"]
Explain = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def explain(fake_bench: Bench) -> Explain:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        common = ["--suites", str(fake_bench.folder / "suite.py"), "--store", str(fake_bench.store), "--out", "out"]
        return subprocess.run(
            [sys.executable, str(HERE / "fake_bench.py"), "explain", *arguments, *common],
            env={**fake_bench.environment, **environment},
            cwd=fake_bench.folder,
            capture_output=True,
            text=True,
        )

    return run


def ran(fake_bench: Bench, name: str) -> list[str]:
    with Store(fake_bench.store) as store:
        return [f"{record.numerics}#{record.seed}" for record in store.records(name)]


def test_every_numerics_runs_with_the_same_seeds_and_the_page_is_what_is_printed(
    explain: Explain, fake_bench: Bench
) -> None:
    ended = explain(CASE, "--backend", "fake", "--seeds", "2", "--name", "r")
    assert ended.returncode == 0, ended.stderr
    assert ran(fake_bench, "r") == [f"{numerics}#{seed}" for seed in (0, 1) for numerics in NUMERICS]
    page = (fake_bench.folder / "out" / "explain-fake-fine.md").read_text()
    assert ended.stdout == page
    assert page.startswith("# What each framework default costs: fake/fine\n\nNo single default")
    assert f"`bench explain fake/fine --resume r --store {fake_bench.store}`" in page
    assert "12 cells run, 0 were done before; wrote out/explain-fake-fine.md" in ended.stderr


def test_a_run_goes_on_where_it_stopped_and_takes_its_options_over(explain: Explain, fake_bench: Bench) -> None:
    first = explain(CASE, "--backend", "fake", "--seeds", "1", "--name", "r", "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert (document["figure"], document["profile"], document["run"], document["seeds"]) == (
        "test",
        "quick",
        "r",
        1,
    )
    losses = {effect["numerics"]: effect["loss"]["level"]["mean"] for effect in document["effects"]}
    # The fake network gives logit 0 for every row, natively 1; half of the rows are positive.
    assert losses["matched"] == losses["documented"] == pytest.approx(math.log(2))
    natively = (math.log1p(math.exp(-1)) + math.log1p(math.exp(1))) / 2
    assert losses["native"] == losses["native:init"] == losses["native:init:dense"] == pytest.approx(natively)
    ends = {row["numerics"]: row["mean"] for row in document["curves"] if row["epoch"] is None}
    assert ends == {"matched": 0.5, "native": 0.5, "native:init": 0.5}
    assert "optimizer" in document["missing"]["fake"]
    again = explain(CASE, "--resume", "r", "--seeds", "2")
    assert again.returncode == 0, again.stderr
    assert "6 cells run, 6 were done before" in again.stderr
    assert len(fake_bench.trainings()) == 12
    assert "2 of 2" in again.stdout
    assert explain(CASE, "--resume", "r", "--seeds", "2").stdout == again.stdout
    assert len(fake_bench.trainings()) == 12


def test_cells_that_fail_are_named_and_make_the_exit_code(explain: Explain, fake_bench: Bench) -> None:
    ended = explain("fake/raises", "--backend", "fake", "--seeds", "1", "--name", "r")
    assert ended.returncode == 3
    assert "- fake/raises@fake,none,cpu,matched#0: failed: ValueError: the second epoch is too much" in ended.stdout
    mended = explain("fake/raises", "--resume", "r", FAKE_MENDED="1")
    assert mended.returncode == 0, mended.stderr
    assert "did not end ok" not in mended.stdout


def test_a_backend_that_cannot_be_had_is_named(explain: Explain) -> None:
    ended = explain(CASE, "--backend", "absent", "--seeds", "1")
    assert ended.returncode == 3
    assert (
        "no-such-distribution is not installed; in the checkout: pip install -c constraints.txt -e '.[absent]'"
        in ended.stdout
    )


def test_what_is_about_to_run_is_said_before_it_runs(explain: Explain) -> None:
    ended = explain(CASE, "--backend", "fake", "--seeds", "2", "--name", "r")
    said = ended.stderr[: ended.stderr.index(f"{CASE}@fake")]
    for fact in (CASE, "profile quick", "fake", "2 seeds", "12 cells", *NUMERICS):
        assert fact in said, fact
    again = explain(CASE, "--resume", "r")
    assert "12 done before" in again.stderr


def test_dry_run_lists_the_cells_and_runs_nothing(explain: Explain, fake_bench: Bench) -> None:
    ended = explain(CASE, "--backend", "fake", "--dry-run", "--seeds", "3")
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 3 * len(NUMERICS) + 1
    assert not fake_bench.store.exists()


def test_versions_run_the_stages_of_a_case_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = str(tmp_path / "store.sqlite")
    assert call("explain", "text-networks/lstm-16", "--versions", "--seeds", "1", "--dry-run", "--store", store) == 0
    cells = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("text-networks/")]
    ran = [tuple(cell.partition("@")[2].partition("#")[0].split(",")) for cell in cells]
    assert [(backend, numerics) for backend, _, _, numerics in ran] == [
        ("tf-keras", "documented"),
        ("tf-keras", "matched"),
        ("keras-tensorflow", "matched"),
        ("keras-tensorflow", "native:embedding-gradient"),
        ("keras-tensorflow", "native"),
        ("torch", "native"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["text-networks/lstm-61"], "unknown case 'text-networks/lstm-61'; nearest: text-networks/lstm-16"),
        (["imdb-rnn/lstm", "--backend", "troch"], "unknown backend 'troch'; nearest: torch"),
        (["imdb-rnn/lstm", "--resume", "r", "--name", "s"], "give one of them"),
        ([], "Missing argument 'CASE'"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_message_that_names_it(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("explain", *arguments) == 2
    assert message in capsys.readouterr().err
