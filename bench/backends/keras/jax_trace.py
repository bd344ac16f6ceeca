"""What ran in JAX training steps: the instructions of the compiled program, and what JAX's profiler saw of them.

The program is XLA's text of the executable itself (HLO, after optimisation). A loop of the program that was a loop in
JAX is one entry, `while jvp(lstm)/while`, of which calls are the passes through its body; XLA makes loops of its own
too (of scatters, on a CPU), which are called by what they were. A custom call is called by its target.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax

from bench.backends.base import Executed, Tally, Trace
from bench.spec import Device

COMPUTATION = re.compile(r"(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{")
INSTRUCTION = re.compile(r"\s+(ROOT )?%?(?P<name>[\w.\-]+) = .*?\s(?P<opcode>[a-z][\w\-]*)\(")
CALLED = re.compile(r"(?:body|condition|calls|to_apply)=%?(?P<name>[\w.\-]+)")
TARGET = re.compile(r'custom_call_target="(?P<name>[^"]*)"')
OP_NAME = re.compile(r'op_name="(?:jit\([\w.]*\)/)?(?P<name>[^"]*)"')
CONTROL = ("while", "call", "conditional")
"""Instructions whose time is that of the instructions they run."""
TRIPS = re.compile(r'known_trip_count":\{"n":"(?P<n>\d+)"\}')


@dataclass(frozen=True)
class Instruction:
    """A line of a program: what it is called here, where it stands, and how often its body runs if it is a loop."""

    label: str
    computation: str
    trips: int


@dataclass(frozen=True)
class Program:
    """An executable: its instructions by name, and the instruction that calls each computation but the first."""

    instructions: Mapping[str, Instruction]
    caller: Mapping[str, str]

    def outermost(self, name: str) -> str:
        """Return the instruction of the first computation as part of which an instruction runs: often itself."""
        while (caller := self.caller.get(self.instructions[name].computation)) is not None:
            name = caller
        return name


def trace_steps(step: Callable[[], object], steps: int, device: Device) -> Trace:
    """Return what `steps` calls of `step`, a jitted `train_step` each, ran, in seconds of the device."""
    with TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(steps):
                step()
            jax.block_until_ready(jax.live_arrays())
        profiles = [jax.profiler.ProfileData.from_file(str(file)) for file in Path(folder).rglob("*.xplane.pb")]
    ran = [event for profile in profiles for event in executed(profile)]
    loaded = (executable.hlo_modules() for executable in jax.devices(device)[0].client.live_executables())
    texts = [module.to_string() for modules in loaded for module in modules if "train_step" in module.name]
    program = program_of(texts, {name for name, _ in ran})
    entries = () if program is None else tuple(grouped(program, ran, steps))
    how = f"compiled HLO and JAX's profiler, {'GPU' if device == 'cuda' else 'CPU'} time"
    return Trace(how, steps, sum(entry.seconds for entry in entries if entry.within is None), entries)


def executed(profile: Any) -> Iterator[tuple[str, float]]:
    """Return the instructions of training steps that a profile saw running, each with its seconds."""
    for plane in profile.planes:
        for line in plane.lines:
            for event in line.events:
                told = dict(event.stats)
                if "hlo_op" in told and "train_step" in str(told["hlo_module"]):
                    yield str(told["hlo_op"]), event.duration_ns / 1e9


def program_of(texts: Iterable[str], ran: set[str]) -> Program | None:
    """Return the program that has all the instructions that ran: every batch shape, and every model, has its own."""
    programs = (parse(text) for text in texts)
    return next((program for program in programs if ran <= program.instructions.keys()), None)


def parse(text: str) -> Program:
    """Return the program of an HLO text."""
    instructions: dict[str, Instruction] = {}
    caller: dict[str, str] = {}
    computation = ""
    for line in text.splitlines():
        if start := COMPUTATION.fullmatch(line):
            computation = start["name"]
        elif found := INSTRUCTION.match(line):
            trips = TRIPS.search(line)
            label = _label(found["opcode"], line)
            instructions[found["name"]] = Instruction(label, computation, int(trips["n"]) if trips else 1)
            caller.update((called["name"], found["name"]) for called in CALLED.finditer(line))
    return Program(instructions, caller)


def _label(opcode: str, line: str) -> str:
    if opcode == "custom-call" and (target := TARGET.search(line)):
        return f"custom-call {target['name']}"
    if opcode == "while":
        was = OP_NAME.search(line)
        place, _, last = was["name"].rpartition("/") if was else ("", "", "loop")
        return f"while {place}" if last == "while" else last
    return opcode


def grouped(program: Program, ran: Iterable[tuple[str, float]], steps: int) -> Iterator[Executed]:
    """Return the entries of a trace, the longest first; loops and custom calls that were not seen have no seconds.

    What ran as part of a loop counts for it. The loop itself does not: on a CPU it may be over, as the profiler has it,
    before its body has run on other threads, and on a GPU it is not seen.
    """
    calls: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    for name, took in ran:
        calls[name] += 1
        seconds[name] += took if program.instructions[name].label.partition(" ")[0] not in CONTROL else 0.0
    parts: dict[str, list[str]] = defaultdict(list)
    for name in calls:
        parts[program.outermost(name)].append(name)
    tally = Tally()
    for name, instruction in program.instructions.items():
        telling = instruction.label.startswith(("while ", "custom-call "))
        if program.outermost(name) != name or not (telling or parts[name]):
            continue
        took = sum(seconds[part] for part in parts[name])
        tally.add(instruction.label, None, (calls[name] or steps) * instruction.trips, took)
        for part in parts[name]:
            if part != name:
                tally.add(instruction.label, program.instructions[part].label, calls[part], seconds[part])
    return tally.entries()
