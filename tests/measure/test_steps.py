"""Windows, slopes and first calls, against a clock that moves only when something is done."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

import pytest

from bench.measure.clock import Clock, no_garbage_collection
from bench.measure.steps import STEPS, Effort, cold, samples, windows
from bench.records.metrics import step_seconds


class World:
    """A clock that moves only when something is done, on a device that works behind the caller's back."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queued = 0.0
        self.calls: list[int] = []

    def synchronize(self) -> None:
        self.now += self.queued
        self.queued = 0.0

    def clock(self) -> Clock:
        return Clock(self.synchronize, lambda: self.now)

    def training(self, step: float, call: float = 0.0, drift: float = 0.0) -> Callable[[int], None]:
        """Return a training of `step` s a step and `call` s a call, each call slower by `drift` s than the last."""

        def train(steps: int) -> None:
            self.calls.append(steps)
            self.now += call + drift * len(self.calls)
            self.queued += steps * step

        return train


def test_what_the_device_still_does_counts_and_what_it_did_before_does_not() -> None:
    world = World()
    world.queued = 5.0
    assert world.clock().seconds(lambda: world.training(step=0.5)(3)) == 1.5


@pytest.mark.parametrize("step", [1e-5, 0.003, 0.7, 30.0])
@pytest.mark.parametrize("call", [0.0, 0.05])
def test_a_step_is_the_slope_so_that_a_cost_per_call_does_not_count(step: float, call: float) -> None:
    world = World()
    found = windows(world.training(step, call), world.clock()).wall
    assert step_seconds(found) == pytest.approx([step] * (len(found) // 2))


def test_the_cpu_time_of_a_step_leaves_out_what_other_programs_take_and_the_cost_of_a_call() -> None:
    world, used = World(), [0.0]

    def train(steps: int) -> None:
        used[0] += 0.3 + 0.2 * steps
        world.now += 0.3 + 0.1 * steps + 7 * (len(world.calls) % 3)  # two threads, and at times another program
        world.calls.append(steps)

    found = windows(train, Clock(world.synchronize, lambda: world.now, lambda: used[0]))
    assert step_seconds(found.cpu) == pytest.approx([0.2] * (len(found.cpu) // 2))
    assert min(step_seconds(found.wall)) < 0 < 1 < max(step_seconds(found.wall))
    assert [steps for steps, _ in found.cpu] == [steps for steps, _ in found.wall]


def test_cpu_time_is_that_of_all_threads_and_not_that_of_sleep() -> None:
    def spin() -> None:
        while time.thread_time() < 0.02:
            pass

    def wait_for_a_thread() -> None:
        spinning = threading.Thread(target=spin)
        spinning.start()
        spinning.join()

    clock = Clock(lambda: None)
    assert clock.both(wait_for_a_thread)[1] >= 0.02
    wall, cpu = clock.both(lambda: time.sleep(0.1))
    assert cpu < 0.1 < wall + 0.001


def test_a_drift_of_the_machine_falls_on_short_and_long_windows_alike() -> None:
    world = World()
    found = windows(world.training(0.1, drift=0.02), world.clock()).wall
    width = found[0][0]
    slopes = step_seconds(found)
    assert slopes[0] != pytest.approx(0.1)
    assert sum(slopes[:2]) / 2 == pytest.approx(0.1)
    assert [steps for steps, _ in found[:4]] == [width, 2 * width, 2 * width, width]


@pytest.mark.parametrize("step", [1e-7, 1e-4, 0.05, 2.0])
def test_the_windows_of_quick_and_slow_steps_take_a_bounded_time(step: float) -> None:
    world = World()
    found = windows(world.training(step), world.clock()).wall
    assert len(found) // 2 >= STEPS.least
    assert world.now < 12.0 or found[0][0] == 1
    assert max(world.calls) < 10_000


def test_a_clock_that_jumps_back_does_not_make_windows_longer_and_longer() -> None:
    world = World()
    train = world.training(0.5)

    def jumping(steps: int) -> None:
        train(steps)
        world.queued = 1.4 if steps == 1 else 1.3

    assert windows(jumping, world.clock(), Effort(most=3, least=1, seconds=1.0)).wall[0][0] == 1


def test_compile_is_what_first_calls_of_both_shapes_take_beyond_steady_ones() -> None:
    world = World()

    def shape(first: float, steady: float) -> Callable[[], None]:
        left = [first]

        def call() -> None:
            world.queued += left.pop() if left else steady

        return call

    found = cold([shape(3.0, 0.5), shape(1.5, 0.25)], world.clock())
    assert found.first_step == 3.0
    assert found.compile == pytest.approx(2.5 + 1.25)


def test_where_nothing_comes_once_compile_is_zero() -> None:
    world = World()
    found = cold([lambda: world.training(0.2)(1)], world.clock())
    assert (found.first_step, found.compile) == (pytest.approx(0.2), pytest.approx(0.0))


def test_samples_end_with_their_time_or_number_but_not_before_the_least() -> None:
    world = World()
    call = world.training(1.0)
    assert len(samples(lambda: call(1), world.clock(), Effort(most=9, least=2, seconds=4.0))) == 4
    assert len(samples(lambda: call(9), world.clock(), Effort(most=9, least=2, seconds=4.0))) == 2
    assert len(samples(lambda: call(1), world.clock(), Effort(most=3, least=2, seconds=4.0))) == 3


def test_a_clock_counts_seconds() -> None:
    began = time.monotonic()
    found = Clock(lambda: None).seconds(lambda: time.sleep(0.05))
    # A sleep is never shorter than asked for; how much longer it is is the machine's affair.
    assert 0.049 < found < time.monotonic() - began + 0.001


def test_no_garbage_is_collected_inside_and_the_collector_is_as_it_was_after() -> None:
    with no_garbage_collection():
        assert not gc.isenabled()
        with no_garbage_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
