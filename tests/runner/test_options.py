"""The options of a run: what they refuse, and that the command line, a store and `words` say the same of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.commands.run import command, wanted_of
from bench.errors import UsageError
from bench.records.store import Run
from bench.runner.options import DECLARATIONS, RunOptions

EVERY: dict[str, Any] = {
    "patterns": ("imdb-rnn/*@torch,*", "word-embeddings"),
    "profile": "documented",
    "backends": ("torch", "keras-jax"),
    "kernels": ("fused", "none"),
    "device": "cuda",
    "numerics": "native:init,order",
    "seeds": 3,
    "repeats": 2,
    "measure": "accuracy",
    "timeout": 0.1,
    "memory": 3.5,
    "budget": 60.0,
    "threads": 4,
    "jobs": 3,
    "tf32": True,
    "suites": ("a b.py", "c"),
    "stand_ins": ("glove=other",),
    "scheduler": "tcp://10.0.0.5:8786",
    "cluster": "local:2",
}


def parsed(words: list[str], options: dict[str, Any] | None = None) -> RunOptions:
    """Return what `bench run` makes of `words`, going on with a run of such stored options where there are some."""
    stored = None if options is None else Run("r", "documented", "", [], json.loads(json.dumps(options)), {})
    return wanted_of(command.make_context("run", list(words)), stored)


def test_every_option_is_tried_here() -> None:
    assert EVERY.keys() == DECLARATIONS.keys()


@pytest.mark.parametrize("name", EVERY)
def test_the_words_of_options_are_read_as_those_options(name: str) -> None:
    needed = {"measure": "accuracy"} if name == "jobs" else {}
    options = RunOptions(**{**needed, name: EVERY[name]})
    assert getattr(options, name) == EVERY[name]
    assert parsed(options.words()) == options != RunOptions()


def test_a_store_gives_back_what_it_kept_and_the_command_line_wins() -> None:
    options = RunOptions(**EVERY)
    assert parsed([], options.kept()) == RunOptions(**EVERY | dict.fromkeys(["budget", "scheduler", "cluster"]))
    again = parsed(["--seeds=5", "--threads=1", "text-networks"], options.kept())
    assert (again.seeds, again.threads, again.patterns) == (5, 1, ("text-networks",))
    assert (again.repeats, again.backends) == (2, ("torch", "keras-jax"))


def test_a_store_of_another_version_may_lack_options_and_hold_others() -> None:
    old = {"seeds": 3, "patterns": ["imdb-rnn"], "tf32": None, "colour": "red", "stand_ins": ["glove=other"]}
    read = parsed([], old)
    assert read == RunOptions(patterns=("imdb-rnn",), profile="documented", seeds=3, stand_ins=("glove=other",))
    assert read.replaced == {"glove": "other"}


def test_another_profile_is_another_run() -> None:
    with pytest.raises(UsageError, match="run 'r' has profile documented; start another run for quick"):
        parsed(["--profile=quick"], {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"profile": "slow"}, "'--profile': 'slow' is not one of 'quick', 'documented'"),
        ({"kernels": ["fusd"]}, "'--kernel': 'fusd' is not one of"),
        ({"seeds": 0}, "'--seeds': expected a number (whole, 1 or more), got '0'"),
        ({"seeds": 1.5}, "'--seeds': expected a number (whole, 1 or more), got '1.5'"),
        ({"seeds": "five"}, "'--seeds': expected a number (whole, 1 or more), got 'five'"),
        ({"jobs": "several"}, "'--jobs': expected a number (whole, 1 or more) or auto, got 'several'"),
        ({"memory": float("nan")}, "'--memory': expected a number above 0, got 'nan'"),
        ({"timeout": 0}, "'--timeout': expected a number above 0, got '0'"),
        ({"backends": "troch"}, "unknown backend 'troch'; nearest: torch"),
        ({"stand_ins": ["glove"]}, "--stand-in 'glove': expected NAME=OTHER"),
        ({"suites": 5}, "'--suites': 5 is neither a text nor several"),
        ({"backends": None}, "'--backend': None is neither a text nor several"),
    ],
)
def test_a_wrong_value_is_refused_and_its_option_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        RunOptions(**values)
    assert message in str(refused.value)


def test_python_may_give_other_collections_and_single_words() -> None:
    given = RunOptions(backends="torch", suites=[Path("a.py")], stand_ins={"glove": "other"}, kernels=iter(["none"]))
    assert (given.backends, given.suites, given.kernels) == (("torch",), ("a.py",), ("none",))
    assert given.replaced == {"glove": "other"}


def test_a_run_measures_by_its_profile_unless_told() -> None:
    assert [RunOptions(profile=profile).measure for profile in ("quick", "documented")] == ["glance", "all"]
