"""A noisy machine is told from a quiet one, and what disturbs it is named with its remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.machine import noise as module
from bench.machine.noise import Noise, Usage, calibrate, causes, noise, spread

STILL = Usage(wall=100.0, busy=50.0, ours=20.0, stolen=3.0, throttled=7)


def later(**more: float) -> Usage:
    """Return a reading ten seconds later, in which this program alone worked but for `more`."""
    changes = {name: getattr(STILL, name) + value for name, value in more.items()}
    return replace(STILL, wall=STILL.wall + 10, **({"busy": STILL.busy + 20, "ours": STILL.ours + 20} | changes))


def test_the_spread_is_what_the_slowest_twentieth_takes_longer() -> None:
    assert spread([1.0] * 100) == 0.0
    assert spread([1.0] * 90 + [1.5] * 10) == pytest.approx(0.5)
    # One hiccup in a hundred is no noise.
    assert spread([1.0] * 99 + [9.0]) == pytest.approx(0.0)


def test_pieces_are_calibrated_to_ten_milliseconds_on_fast_and_slow_machines() -> None:
    for seconds_of_a_block in (1e-6, 1e-4, 0.5):
        blocks = calibrate(lambda blocks, each=seconds_of_a_block: blocks * each)
        assert blocks * seconds_of_a_block == pytest.approx(0.01, rel=0.5) or blocks == 1


@pytest.mark.parametrize(
    ("after", "governor", "said"),
    [
        (later(), "performance", []),
        (later(), None, []),
        (later(busy=35.0), None, ["other programs kept 1.5 CPUs busy: stop them"]),
        (later(throttled=2), None, ["the container reached its CPU limit: raise it"]),
        (later(stolen=1.0), None, ["the host took 10 % of a CPU from this virtual machine: use a dedicated machine"]),
        (later(), "powersave", ["governor powersave): run `sudo cpupower frequency-set"]),
        (later(busy=35.0), "ondemand", ["other programs", "governor ondemand"]),
    ],
)
def test_every_cause_comes_with_its_remedy(after: Usage, governor: str | None, said: list[str]) -> None:
    found = list(causes(STILL, after, governor))
    assert len(found) == len(said)
    assert all(part in sentence for part, sentence in zip(said, found, strict=True))


def test_the_sentence_says_how_much_and_what_to_do() -> None:
    quiet, loud = Noise(0.012, 150, ("never said",)), Noise(0.12, 150, ("stop this", "set that"))
    assert (quiet.high, loud.high) == (False, True)
    assert " 1 % " in quiet.sentence
    assert "never said" not in quiet.sentence
    assert " 12 % " in loud.sentence
    assert loud.sentence.endswith("Remedy: stop this; set that.")
    assert "run again later" in Noise(0.5, 20, ()).sentence


def test_the_governor_that_does_not_run_at_full_speed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_GOVERNORS", tmp_path)
    assert module.governor() is None
    for number, name in enumerate(("performance", "powersave")):
        folder = tmp_path / f"cpu{number}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{name}\n")
        assert module.governor() == name


def test_a_container_that_was_held_back_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stat = tmp_path / "cpu.stat"
    stat.write_text("nr_periods 12\nnr_throttled 5\nthrottled_usec 900\n")
    monkeypatch.setattr(module, "_CPU_STAT", (tmp_path / "none", stat))
    assert module._throttled() == 5


def test_this_machine_is_looked_at_for_the_time_asked_for() -> None:
    found = noise(threads=1, seconds=0.1)
    assert found.pieces >= module.LEAST_PIECES
    assert found.spread >= 0
