"""An interpreter for one side of a comparison, whose worker answers with times that a test chose.

`make(folder, **settings)` writes it: a program called as `PROGRAM -P -m bench.runner.worker DESCRIPTOR`. What it says
of itself is what this installation's worker would say; its records it makes up, without waiting: only while
there is a file `folder/../held`, nothing beyond the eighth comes to an end. With `protocol` 2 it
speaks and records as workers did then, and refuses, as they did, a request with fields that came later.
"""

from __future__ import annotations

import json
import stat
import sys
from functools import cache
from pathlib import Path

from bench.records.record import SCHEMA_VERSION
from bench.runner.handshake import introduce
from bench.runner.protocol import PROTOCOL, Question

PROGRAM = """#!{python} -SE
import json, os, random, re, sys, time
SETTINGS = json.loads({settings!r})
HERE = os.path.dirname(os.path.abspath(__file__))
PARENT = os.getppid()

def introduce():
    with open({introduction!r}) as known:
        found = json.load(known)
    question = json.loads(sys.stdin.readline())
    wanted = [cell for cell in found["cells"] if any(cell["cell"].startswith(one) for one in question["patterns"])]
    found["cells"] = [cell for cell in wanted if SETTINGS["lacks"] not in cell["cell"]]
    found["prefix"] = HERE
    found["protocol"], found["schema_version"] = SETTINGS["protocol"], SETTINGS["schema"]
    found["environment"]["packages"]["torch"] = SETTINGS["torch"]
    print(json.dumps(found))

def record(request, cell, repeat, number):
    suite, case, backend, kernel, device, numerics, seed = re.split("[/@,#]", cell)
    noise = SETTINGS["noise"] if SETTINGS["noisy"] in cell else 0.01
    noise = random.Random(f"{{HERE}} {{cell}} {{number}}").gauss(0, noise)
    step = SETTINGS["step"] * (1 + noise)
    timed = request["measure"] == "timing"
    accuracy = SETTINGS["accuracy"] + 0.001 * int(seed)
    score = dict(loss=SETTINGS["loss"], accuracy=accuracy, rows=1000)
    return dict(
        suite=suite, case=case, backend=backend, kernel=kernel, device=device, numerics=numerics, seed=int(seed),
        repeat=repeat, profile=request["profile"], measure=request["measure"], status="ok",
        parameters=dict(total=SETTINGS["parameters"], trainable=1, frozen=0, stored=1, layers=[]),
        metrics=None if timed else dict(epochs=[], last=dict(epoch=1, test=score)),
        timing=dict(build=1, first_epoch=1, epochs=[step * 10], steps=10, total=2, alone=timed)
        | (dict(step=step) if SETTINGS["schema"] > 1 else dict()),
        memory=dict(host_peak_bytes=SETTINGS["memory"] * (1 + noise / 100)),
        data=dict(name="embedded", sha256=SETTINGS["data"] * 64, rows=dict(train=1000)),
        started="2026-01-01T00:00:00+00:00", seconds=0.01,
    )

if sys.argv[4] == "introduce":
    introduce()
    sys.exit()

def requests():
    # Before protocol 5 a worker takes one request, for several cells.
    for line in sys.stdin:
        request = json.loads(line)
        fields = {{"protocol", "profile", "measure", "suites", "stand_ins"}}
        fields |= {{"brief"}} if SETTINGS["protocol"] > 2 else set()
        fields |= {{"cell", "repeat", "process"}} if SETTINGS["protocol"] > 4 else {{"cells"}}
        if set(request) != fields or request["protocol"] != SETTINGS["protocol"]:
            sys.exit("extra inputs are not permitted")
        for one in request.get("cells", [request]):
            yield request, one
        if "cells" in request:
            return

with os.fdopen(int(sys.argv[4]), "w") as answers:
    for request, one in requests():
        with open(os.path.join(os.path.dirname(HERE), "log"), "a+") as log:
            log.seek(0)
            number = len(log.readlines())
            what = "brief" if request.get("brief") else request["measure"]
            log.write(f"{{os.path.basename(HERE)}} {{what}} {{one['cell']}} {{one['repeat']}}\\n")
        if SETTINGS["breaks"] and SETTINGS["breaks"] in one["cell"]:
            sys.exit("broken on purpose")
        while number >= 8 and os.path.exists(os.path.join(os.path.dirname(HERE), "held")):
            time.sleep(0.02)
            if os.getppid() != PARENT:
                sys.exit("the comparison was killed")
        content = record(request, one["cell"], one["repeat"], number)
        answers.write(json.dumps(dict(event="record", schema_version=SETTINGS["schema"], record=content)) + "\\n")
        answers.flush()
"""

DEFAULTS = {
    "step": 0.1,
    "noise": 0.01,
    "noisy": "",
    "accuracy": 0.8,
    "loss": 0.5,
    "parameters": 1000,
    "data": "d",
    "torch": "2.12.0",
    "lacks": "nothing",
    "breaks": "",
    "memory": 1e8,
    "protocol": PROTOCOL,
    "schema": SCHEMA_VERSION,
}


CELLS = (
    "imdb-rnn/lstm@torch,generic,cpu,documented",
    "text-networks/embedding-200@torch,none,cpu,documented",
)


@cache
def _introduction() -> str:
    question = Question(patterns=list(CELLS), profile="quick", device=None, suites=[], threads=1)
    return introduce(question).model_dump_json()


def make(folder: Path, **settings: object) -> str:
    """Return the path of the program in `folder`, which is made; each process notes itself in `folder/../log`."""
    assert set(settings) <= set(DEFAULTS)
    folder.mkdir()
    program = folder / "python"
    text = json.dumps(DEFAULTS | settings)
    known = folder / "introduction.json"
    known.write_text(_introduction())
    program.write_text(PROGRAM.format(python=sys.executable, introduction=str(known), settings=text))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)
