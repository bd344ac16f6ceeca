"""Which estimator of a step time errs least beside other programs: on windows of work whose true step time is known.

    python tests/benchmarks/estimators.py [--rounds 4] [--seed 0]

takes under five minutes and prints its tables. A step is a fixed amount of NumPy work on one thread, a call has the
work of `CALL` steps more, as Keras's `fit` has. Beside 0, 1, 2 and 4 processes that never wait, in turn, each round
takes the windows of a process by `bench.measure.steps.windows`. True is the CPU time of a step in the rounds without
planted load, by the median: work on one thread that waits for nothing takes as long on a quiet machine.

- measured: the windows of the rounds; and, of the same windows, the CPU time.
- simulated: the windows of 2,000 processes each, cut at random places from six seconds of steps that each round timed
  one by one: as many and as long as `FULL` and `BRIEF` efforts ask for, with and without the cost of a call.
- quiet: the same, from steps that are drawn: log-normal around the true time, deviation 2 %, of whose variance half is
  the machine's state (an autoregression over about 1,000 steps).

The criterion, written down before any table was seen; the quiet condition was added after a first trial, on a machine
too busy to have one. An error is estimate / true - 1; an estimate that is not positive is `none`, and counts in no
error. A condition is a load or quiet, an effort and a cost of a call. The estimator whose RMSE, simulated, is the
smallest in the geometric mean over all conditions replaces today's (the median over pairs of slopes) if

1. that mean is at most 0.75 of today's;
2. its largest |mean error| over all conditions is no larger than today's;
3. in no condition its RMSE exceeds 1.1 times today's, or 0.1 points more where that is larger;
4. in no condition it says `none` more often than today's;
5. the measured rounds agree: its RMSE there, in the geometric mean over loads, is no larger than today's.

Otherwise today's stays.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":  # before NumPy is imported
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy import signal

from bench.measure import steps
from bench.measure.clock import Clock
from bench.records.metrics import Windows, step_seconds, step_time

LOADS = (0, 1, 2, 4)
CALL = 10
"""Steps whose work each call has beside its own."""
PROCESSES = 2000
TRACE_SECONDS = 6.0
QUIET = "quiet"
Floats = NDArray[np.float64]
Estimator = Callable[[Windows], float | None]


# --- the estimators ----------------------------------------------------------------------------------------------


def positive(estimate: Callable[[Windows], float]) -> Estimator:
    """Return the estimator that says nothing where `estimate` is not positive."""

    def estimator(windows: Windows) -> float | None:
        found = float(estimate(windows))
        return found if found > 0 else None

    return estimator


def between(summary: Callable[[list[float]], float]) -> Callable[[Windows], float]:
    """Return the slope between a summary of the short windows and that of the long ones."""

    def slope(windows: Windows) -> float:
        short, long = sorted({number for number, _ in windows})
        of = {width: summary([seconds for number, seconds in windows if number == width]) for width in (short, long)}
        return (of[long] - of[short]) / (long - short)

    return slope


def theil_sen(windows: Windows) -> float:
    """Return the median of the slopes between every short and every long window (Theil 1950, Sen 1968)."""
    short = min(number for number, _ in windows)
    one = np.array([seconds for number, seconds in windows if number == short])
    two = np.array([seconds for number, seconds in windows if number != short])
    return float(np.median(two[:, None] - one)) / short


def least_squares(windows: Windows) -> float:
    """Return the slope of the line through all windows."""
    numbers, seconds = np.array(windows, dtype=float).T
    return float(np.polyfit(numbers, seconds, 1)[0])


def means(windows: Windows) -> list[float]:
    """Return the seconds per step of each window, the cost of a call included."""
    return [seconds / number for number, seconds in windows]


ESTIMATORS: dict[str, Estimator] = {
    "median over pairs of slopes (today's)": step_time,
    "least squares over windows": positive(least_squares),
    "Theil-Sen over windows": positive(theil_sen),
    "slope between medians": positive(between(statistics.median)),
    "slope between least windows": positive(between(min)),
    "least slope of a pair": positive(lambda windows: min(step_seconds(windows))),
    "median of window means": positive(lambda windows: statistics.median(means(windows))),
    "least window mean": positive(lambda windows: min(means(windows))),
}
TODAY = next(iter(ESTIMATORS))


# --- the work ----------------------------------------------------------------------------------------------------


@dataclass
class Work:
    """Steps of a fixed amount of work on one thread; `wall` and `cpu` are the seconds of each, call by call."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._matrix = np.random.default_rng(0).normal(size=(96, 96)) / 10

    def step(self) -> None:
        """Do what takes about two milliseconds: products that stay in the cache, and what NumPy does beside them."""
        state = self._matrix
        for _ in range(32):
            state = np.tanh(self._matrix @ state)

    def train(self, number: int) -> None:
        """Do so many steps and the cost of a call; each begins where the one before ended, so that no time is lost."""
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(number + CALL):
            self.step()
            for clock, began, found in ((time.perf_counter, wall, self.wall), (time.process_time, cpu, self.cpu)):
                found.append(clock() - began)
            cpu, wall = cpu + self.cpu[-1], wall + self.wall[-1]


@contextmanager
def beside(number: int) -> Iterator[None]:
    """Let so many processes that never wait run for the length of the block."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@dataclass
class Round:
    """The windows of one process beside `load` others, and the seconds of each of the steps that it made after them."""

    load: int
    windows: steps.Timed
    trace: Work
    others: float
    """CPUs that neither this process nor the planted load kept busy, on average."""


def measured(load: int) -> Round:
    """Take the windows of a process beside so many others."""
    trace = Work()
    with beside(load):
        time.sleep(0.2)
        began, before = time.perf_counter(), _others()
        windows = steps.windows(Work().train, Clock(lambda: None), steps.STEPS)
        trace.train(0)
        while sum(trace.wall) < TRACE_SECONDS:
            trace.train(round(0.5 / statistics.mean(trace.wall)))
        others = (_others() - before) / (time.perf_counter() - began)
    return Round(load, windows, trace, others)


def _others() -> float:
    """Return the CPU seconds so far of all that is neither this process nor one that it started."""
    everything = psutil.cpu_times()
    ours = [process.cpu_times() for process in (psutil.Process(), *psutil.Process().children())]
    return sum((everything.user, everything.nice, everything.system)) - sum(each.user + each.system for each in ours)


# --- what they say -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Errors:
    """What an estimator said of many processes: `found` are estimate / true - 1, `none` the share without one."""

    found: Floats
    none: float

    @property
    def bias(self) -> float:
        """Return the mean error; nan where there is none."""
        return float(self.found.mean()) if len(self.found) else float("nan")

    @property
    def rmse(self) -> float:
        """Return the root of the mean squared error."""
        return float(np.sqrt((self.found**2).mean())) if len(self.found) else float("nan")

    @property
    def text(self) -> str:
        """Return bias and RMSE in per cent, and the share of `none` where there is any."""
        none = f", none {self.none:.0%}" if self.none else ""
        return f"{self.bias:+.1%} ({self.rmse:.1%}{none})"


def errors(estimator: Estimator, processes: Sequence[Windows], true: float) -> Errors:
    """Return how an estimator errs on the windows of many processes."""
    said = [estimator(windows) for windows in processes]
    found = np.array([estimate / true - 1 for estimate in said if estimate is not None])
    return Errors(found, said.count(None) / len(said))


def quiet(true: float, random: np.random.Generator, number: int = 20_000, deviation: float = 0.02) -> Floats:
    """Return the seconds of so many steps on a quiet machine."""
    memory = 0.999
    state = signal.lfilter([math.sqrt(1 - memory**2)], [1, -memory], random.normal(size=2 * number))[number:]
    return np.asarray(true * np.exp(deviation * math.sqrt(0.5) * (state + random.normal(size=number))))


def simulated(
    traces: Sequence[Floats], effort: steps.Effort, call: int, random: np.random.Generator, number: int = PROCESSES
) -> list[Windows]:
    """Cut the windows of so many processes from the seconds of consecutive steps, from random places, round the end.

    A window of w steps are w + `call` of them; the short one takes `steps.WINDOW_SECONDS`, by the mean step.
    """
    totals = [np.concatenate([[0.0], np.cumsum(np.tile(trace, 2 + 3000 // len(trace)))]) for trace in traces]
    found = []
    for _ in range(number):
        which = int(random.integers(len(traces)))
        trace, total = traces[which], totals[which]
        width = max(1, round(steps.WINDOW_SECONDS / float(trace.mean())))
        place = random.integers(len(trace))
        windows: Windows = []
        taken, at = 0.0, int(place)
        while len(windows) < 2 * effort.most and (len(windows) < 2 * effort.least or taken < effort.seconds):
            order = (width, 2 * width) if len(windows) % 4 == 0 else (2 * width, width)
            for steps_in in order:
                end = at + steps_in + call
                windows.append((steps_in, float(total[end] - total[at])))
                taken += windows[-1][1]
                at = end % len(trace)
        found.append(windows)
    return found


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, the first column to the left."""
    lines = [headers, ["---", *["--:"] * (len(headers) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


Condition = tuple[str, str, int]
"""A load or quiet, an effort, the steps of a call."""


def geometric(rmse: Iterable[Errors]) -> float:
    """Return the geometric mean of RMSE."""
    return statistics.geometric_mean(each.rmse for each in rmse)


def over(conditions: Sequence[Errors]) -> str:
    """Return of several conditions the RMSE in the geometric mean, the largest mean error, and the most of `none`."""
    largest = max((each.bias for each in conditions), key=abs)
    none = max(each.none for each in conditions)
    return f"{geometric(conditions):.1%} ({largest:+.1%}{f', none {none:.0%}' if none else ''})"


def verdict(cut: dict[str, dict[Condition, Errors]], real: dict[str, dict[int, Errors]]) -> str:
    """Return which estimator the criterion takes, and how the best one stands on each of its points."""
    mean = {name: geometric(each.values()) for name, each in cut.items()}
    worst = {name: max(abs(found.bias) for found in each.values()) for name, each in cut.items()}
    best = min(mean, key=lambda name: mean[name])
    pairs = [(cut[best][condition], today) for condition, today in cut[TODAY].items()]
    points = {
        f"mean RMSE {mean[best]:.1%} against {mean[TODAY]:.1%}": mean[best] <= 0.75 * mean[TODAY],
        f"largest |mean error| {worst[best]:.1%} against {worst[TODAY]:.1%}": worst[best] <= worst[TODAY],
        "RMSE in each condition": all(own.rmse <= max(1.1 * today.rmse, today.rmse + 0.001) for own, today in pairs),
        "none in each condition": all(own.none <= today.none for own, today in pairs),
        "measured rounds": geometric(real[best].values()) <= geometric(real[TODAY].values()),
    }
    said = "".join(f"\n- {point}: {'yes' if holds else 'no'}" for point, holds in points.items())
    return f"Least RMSE: {best}.{said}\nTaken: {best if all(points.values()) else TODAY}."


def main() -> None:
    """Measure and simulate, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.perf_counter()
    rounds = [measured(load) for number in range(arguments.rounds) for load in LOADS[:: -1 if number % 2 else 1]]
    by_load = {load: [each for each in rounds if each.load == load] for load in LOADS}
    true = statistics.median(seconds for each in by_load[0] for seconds in each.trace.cpu)
    others = {load: statistics.mean(each.others for each in found) for load, found in by_load.items()}
    real = {
        name: {load: errors(estimator, [each.windows.wall for each in by_load[load]], true) for load in LOADS}
        for name, estimator in ESTIMATORS.items()
    }
    print(f"A step takes {1000 * true:.3f} ms, a call {CALL} steps more; {psutil.cpu_count()} CPUs.")
    print("Other programs kept busy, CPUs:", ", ".join(f"{n:.1f} beside {load}" for load, n in others.items()), end="")
    print(f"; load average at the end: {os.getloadavg()[1]:.1f} (5 min).\n")
    heads = [f"beside {load}" for load in LOADS]
    print(f"Measured, {arguments.rounds} processes each: mean error (RMSE, share without an estimate)\n")
    on_cpu = [errors(step_time, [each.windows.cpu for each in by_load[load]], true) for load in LOADS]
    rows = [[name, *(one.text for one in each.values())] for name, each in real.items()]
    print(table(["estimator", *heads], [*rows, ["CPU time, as today", *(one.text for one in on_cpu)]]))
    cut: dict[str, dict[Condition, Errors]] = {name: {} for name in ESTIMATORS}
    traces = {QUIET: [quiet(true, np.random.default_rng(arguments.seed))]}
    traces |= {f"beside {load}": [np.array(each.trace.wall) for each in found] for load, found in by_load.items()}
    for place, (load, recorded) in enumerate(traces.items()):
        for effort, of in (("full", steps.FULL.steps), ("brief", steps.BRIEF.steps)):
            for call in (0, CALL):
                random = np.random.default_rng([arguments.seed, place, call, of.most])
                processes = simulated(recorded, of, call, random)
                for name, estimator in ESTIMATORS.items():
                    cut[name][load, effort, call] = errors(estimator, processes, true)
    print(f"\nSimulated, {PROCESSES:,} processes a condition: RMSE (largest mean error, share without an estimate)\n")
    rows = [
        [name, *(over([each[key] for key in each if key[0] == load]) for load in traces)] for name, each in cut.items()
    ]
    print(table(["estimator", *traces], rows))
    print(f"\n{verdict(cut, real)} ({time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
