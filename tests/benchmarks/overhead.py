"""What the harness costs: its epochs and cells beside the framework's plain loop, in one session, as ratios.

    python tests/benchmarks/overhead.py epoch --case text-networks/lstm-16
    python tests/benchmarks/overhead.py cell --backend keras-tensorflow --case text-networks/lstm-16 --rounds 3
    python tests/benchmarks/overhead.py jobs --seeds 2 --rounds 1
    python tests/benchmarks/overhead.py start --case word-embeddings/glove-200 --seeds 5

`epoch` alternates epochs of `Network.train_epoch` with epochs of the plain loop on the same rows, under a stop-watch
of its own, and with those of a second copy of the plain loop: how far two copies of the same code differ is how well
anything is known here. Keras's plain loop is `fit` of a model compiled like ours, as well as that of the `Sequential`
model that users write: TensorFlow runs two graphs of the same layers 4 % apart (docs/performance.md). Ratios are
medians of a process's rounds, intervals (Hodges-Lehmann, 95 %) are over processes. It also says whether the step that
the harness's clock finds (`bench.measure.steps`) makes up such an epoch. Numerics are native unless told otherwise:
what users train. Under others, and with `--no-waits`, Keras's plain loop is fed, as ours is, without the thread that
tunes the input pipeline and makes epochs wait for it (docs/findings.md).
`cell` alternates whole processes: `bench run CELL` against a stand-alone script that loads the same arrays from IMDB
itself, trains and evaluates. Without `--backend` both backends take their turn, each in processes of its own.
`jobs` alternates runs of the same documented cells: one after another and with `--jobs auto`, both with one thread a
framework, whose scores must be equal to the last bit; and one after another on every core, as without either option.
`start` alternates seeds of a short documented cell, a process each, with the same seeds forked from a process that has
imported the framework; their scores must be equal, too.
With `--scripts` the stand-alone script runs for each of the cells, too: of cases on all rows of IMDB.
`command` alternates `bench list`, `bench --help` and `python -c pass`.
All others need the real data (`BENCH_DATA_DIR`). The plain loops are what users write: Keras's `Sequential` and `fit`
with Keras's own optimizer, or a torch module with torch's own recurrent layer and torch's own optimizer.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from msgspec import structs

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.backends.base import TrainsSteps  # noqa: E402
from bench.backends.registry import backend, best_kernel  # noqa: E402
from bench.cases.catalog import load  # noqa: E402
from bench.cases.cell import Cell  # noqa: E402
from bench.cases.model import Model, resolve  # noqa: E402
from bench.compare.statistics import hodges_lehmann  # noqa: E402
from bench.machine.fingerprint import cores  # noqa: E402
from bench.measure import steps  # noqa: E402
from bench.measure.clock import Clock, no_garbage_collection  # noqa: E402
from bench.records.metrics import step_seconds  # noqa: E402
from bench.records.record import Record  # noqa: E402
from bench.records.store import Store  # noqa: E402
from bench.runner import workers  # noqa: E402
from bench.runner.plan import PlannedCell  # noqa: E402
from bench.spec import Case, Dense, Embedding, Flatten, SimpleRNN  # noqa: E402
from bench.training.experiment import loaded, prepared  # noqa: E402
from tests.benchmarks.figures import say  # noqa: E402

Plain = tuple[Callable[[], object], Callable[[np.ndarray, np.ndarray], object]]
"""One epoch of the plain loop, and its evaluation."""


def fit_of(compiled, x: np.ndarray, y: np.ndarray, batch_size: int, *, waits: bool) -> Callable[[], object]:
    """Return an epoch of a Keras model: `fit` on arrays, or on a dataset that TensorFlow does not wait for."""
    if waits:
        return lambda: compiled.fit(x, y, batch_size, verbose=0)
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size).with_options(options)
    return lambda: compiled.fit(dataset, verbose=0, shuffle=False)


def wait_for_nothing() -> None:
    """Take the thread that tunes the input pipeline, and nothing else, from the native epochs of this process."""
    from bench.backends.keras import tensorflow

    def untuned(x: np.ndarray, y: np.ndarray, batch_size: int) -> dict[str, object]:
        fed = tuned(x, y, batch_size)
        return fed | {"x": fed["x"].with_options(tensorflow.tensorflow_device.untuned())}

    tuned, tensorflow.shuffled = tensorflow.shuffled, untuned


def plain_keras(model: Model, case: Case, x: np.ndarray, y: np.ndarray, waits: bool = True) -> Plain:
    """Return `fit` and `evaluate` of a Sequential model of Keras's own layers, with TensorFlow's wait or without."""
    import keras

    from bench.backends.keras.keras3 import gates

    layers = []
    for built in model.layers:
        layer = built.layer
        match layer:
            case Embedding():
                layers.append(keras.layers.Embedding(layer.input_dim, layer.output_dim, trainable=layer.trainable))
            case Flatten():
                layers.append(keras.layers.Flatten())
            case Dense():
                layers.append(keras.layers.Dense(layer.units, layer.activation))
            case SimpleRNN():
                layers.append(keras.layers.SimpleRNN(layer.units, return_sequences=layer.return_sequences))
            case _:
                gate = gates[layer.recurrent_activation]
                layers.append(keras.layers.LSTM(layer.units, recurrent_activation=gate))
    plain = keras.Sequential([*layers, keras.layers.Activation("sigmoid")])
    plain.compile(case.training.optimizer, "binary_crossentropy", metrics=["accuracy"])
    return (
        fit_of(plain, x, y, model.batch_size, waits=waits),
        lambda rows, labels: plain.evaluate(rows, labels, batch_size=1024, verbose=0),
    )


def plain_torch(model: Model, case: Case, x: np.ndarray, y: np.ndarray) -> Plain:
    """Return the ten lines that a torch user writes, with torch's own layers, and their evaluation."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            kinds = {"SimpleRNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
            self.parts = nn.ModuleList()
            for built in model.layers:
                layer = built.layer
                if isinstance(layer, Embedding):
                    self.parts.append(nn.Embedding(layer.input_dim, layer.output_dim))
                elif isinstance(layer, Flatten):
                    self.parts.append(nn.Flatten())
                elif isinstance(layer, Dense):
                    self.parts.append(nn.Linear(built.input_shape[-1], layer.units))
                    if layer.activation != "linear":
                        self.parts.append({"relu": nn.ReLU, "tanh": nn.Tanh}[layer.activation]())
                else:
                    self.parts.append(kinds[type(layer).__name__](built.input_shape[1], layer.units, batch_first=True))

        def forward(self, x):
            for part in self.parts:
                x = part(x)
                if isinstance(x, tuple):
                    x = x[0][:, -1]
            return x[:, 0]

    plain = Plain()
    optimizers = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
    optimizer = optimizers[case.training.optimizer](plain.parameters(), lr=case.training.learning_rate)
    ids, labels = torch.from_numpy(np.array(x)), torch.from_numpy(y)
    # A DataLoader fetches row by row, which takes a tenth of such an epoch: like is compared with like.
    loader = DataLoader(TensorDataset(ids, labels), model.batch_size, shuffle=True)
    by_hand = "order" not in model.differences

    def epoch() -> None:
        shuffled = torch.randperm(len(ids)).split(model.batch_size)
        for batch, target in ((ids[rows], labels[rows]) for rows in shuffled) if by_hand else loader:
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(plain(batch), target)
            loss.backward()
            optimizer.step()

    @torch.inference_mode()
    def evaluate(rows: np.ndarray, target: np.ndarray) -> float:
        logits = torch.cat([plain(part) for part in torch.from_numpy(rows).split(1024)])
        return float(((logits > 0).numpy() == target).mean())

    return epoch, evaluate


def measure_epochs(name: str, backend_name: str, numerics: str, rounds: int, *, waits: bool) -> None:
    """Print as JSON the median ratios of one process: other sides to the plain loop, the steps to an epoch."""
    info = backend(backend_name)
    os.environ.update(dict(info.environment))
    suite, case = load().case(name)
    kernel = best_kernel(info, resolve(suite, case, numerics), "cpu")
    cell = Cell(*name.split("/"), backend_name, kernel, "cpu", numerics, 0)
    experiment, build = loaded(prepared(load(), cell, "documented", {}), cell)
    model, part = experiment.model, experiment.dataset.train
    rows = experiment.split.rows
    x, y = np.asarray(part.x[rows]), part.y[rows]
    network = build()
    experiment.start(network)
    everything = np.arange(len(x), dtype=np.intp)
    # Where a training row is in `x`.
    place = np.empty(len(part), dtype=np.intp)
    place[rows] = everything
    shuffles = "order" in model.differences

    def ours(number: int) -> None:
        rows = everything if shuffles else place[experiment.order(number)]
        network.train_epoch(x, y, rows, experiment.masks(number))
        network.synchronize()

    if backend_name == "torch":
        plains = {side: plain_torch(model, case, x, y)[0] for side in ("plain", "plain again")}
    else:
        if not waits:
            wait_for_nothing()
        waits = waits and shuffles
        copies = {side: build()._trained for side in ("plain", "plain again")}
        plains = {side: fit_of(copy, x, y[:, None], model.batch_size, waits=waits) for side, copy in copies.items()} | {
            "sequential": plain_keras(model, case, x, y, waits)[0]
        }
    sides = ("ours", *plains)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 1):
        # Turned on by one, and round, from round to round: no side is always the first, or after the same other one.
        for side in np.roll(sides, number // 2)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            plains.get(side, partial(ours, number))()
            seconds[side].append(time.perf_counter() - began)
    epochs = {side: np.array(values[1:]) for side, values in seconds.items()}  # the first traces, compiles and warms up

    train_rows = network.train_steps if isinstance(network, TrainsSteps) else network.train_epoch

    def train(count: int) -> None:
        chosen = np.resize(place[experiment.order(0)], count * model.batch_size)
        train_rows(x, y, chosen, experiment.masks(0))

    with no_garbage_collection():
        windows = steps.windows(train, Clock(network.synchronize)).wall
    step = statistics.median(step_seconds(windows))
    call = statistics.median(seconds - count * step for count, seconds in windows)
    made = call + len(x) / model.batch_size * step
    found = {side: np.median(values) for side, values in epochs.items()}
    ratios = {side: np.median(values / epochs["plain"]) for side, values in epochs.items() if side != "plain"}
    print(json.dumps({"seconds": found, "ratios": ratios | {"clock": made / found["ours"]}}))


def compare_epochs(name: str, backend_name: str, numerics: str, rounds: int, processes: int, *, waits: bool) -> None:
    """Print what `measure_epochs` finds in each of so many processes, then the ratios over all of them."""
    logarithms: dict[str, list[float]] = {}
    for number in range(processes):
        words = [__file__, "epochs", "--backend", backend_name, "--numerics", numerics, "--case", name]
        command = [sys.executable, *words, f"--rounds={rounds}", *([] if waits else ["--no-waits"])]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(printed.splitlines()[-1])
        seconds = "  ".join(f"{side} {value:.3f} s" for side, value in found["seconds"].items())
        ratios = "  ".join(f"{side} {value:.3f}" for side, value in found["ratios"].items())
        print(f"process {number + 1} of {processes}: {seconds}; ratios: {ratios}", flush=True)
        for side, value in found["ratios"].items():
            logarithms.setdefault(side, []).append(np.log(value))
    labels = {
        "ours": "an epoch of ours to one of the plain loop",
        "plain again": "a copy of the plain loop to the plain loop",
        "sequential": "the plain loop of a Sequential model to the plain loop",
        "clock": "steps of the harness's clock to an epoch of ours",
    }
    print(f"{name}@{backend_name}, {numerics} numerics, {processes} processes of {rounds} rounds:")
    for side, values in logarithms.items():
        shift = hodges_lehmann(np.array(values))
        estimate, low, high = (np.exp(float(value)) for value in (shift.estimate, shift.low, shift.high))
        print(f"  {labels[side]}: {estimate:.3f} ({low:.3f} to {high:.3f})")
        say(**{side.replace(" ", "_"): [estimate, low, high]})


def standalone(name: str, backend_name: str, epochs: int) -> None:
    """Do by hand what a cell does: load IMDB with Keras's own steps, train as documented, evaluate on train and
    test.
    """
    os.environ.update(dict(backend(backend_name).environment))
    suite, case = load().case(name)
    model = resolve(suite, case, "documented")
    folder = Path(os.environ["BENCH_DATA_DIR"])
    with np.load(folder / "imdb.npz", allow_pickle=True) as archive:
        halves = [(archive[f"x_{half}"], archive[f"y_{half}"]) for half in ("train", "test")]
    prepared = []
    for texts, labels in halves:
        chosen = np.random.RandomState(113).permutation(len(texts))
        x = np.zeros((len(texts), *model.input_shape), np.int32)
        for row, text in enumerate(texts[chosen]):
            ids = [1, *(w + 3 if w + 3 < case.data.num_words else 2 for w in text)][: model.input_shape[0]]
            x[row, : len(ids)] = ids
        prepared.append((x, labels[chosen].astype(np.float32)))
    (x, y), (x_test, y_test) = prepared
    epoch, evaluate = (plain_torch if backend_name == "torch" else plain_keras)(model, case, x, y)
    for _ in range(epochs):
        epoch()
    print(evaluate(x, y), evaluate(x_test, y_test))


LONGER = """
from dataclasses import replace
from bench.cases.catalog import load
suite, case = load().case({name!r})
training = replace(case.training, epochs={epochs})
SUITE = replace(suite, name="longer", cases=(replace(case, training=training),))
"""


def measure_cells(name: str, backend_name: str, rounds: int, epochs: int) -> None:
    """Print seconds of alternating processes, `bench run` and the stand-alone script, and the median ratio."""
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "longer.py"
        suite.write_text(LONGER.format(name=name, epochs=epochs))
        cell = f"longer/{name.partition('/')[2]}@{backend_name}"
        # Without the passes that time steps, which the script has none of.
        options = ["--profile", "documented", "--measure", "accuracy"]
        options += ["--suites", str(suite), "--store", str(Path(folder) / "results.sqlite")]
        script = [__file__, "standalone", "--backend", backend_name, "--case", name, "--epochs", str(epochs)]
        commands = ([sys.executable, "-m", "bench", "run", cell, *options], [sys.executable, *script])
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ratios = []
        for number in range(rounds):
            seconds = [0.0, 0.0]
            for side in (0, 1) if number % 2 else (1, 0):
                start = time.perf_counter()
                subprocess.run(commands[side], env=environment, check=True, capture_output=True)
                seconds[side] = time.perf_counter() - start
            ratios.append(seconds[0] / seconds[1])
            print(f"{cell}  cell {seconds[0]:.1f} s  script {seconds[1]:.1f} s  {ratios[-1]:.3f}", flush=True)
        print(f"{cell}, {epochs} epochs: median ratio {statistics.median(ratios):.3f} of {rounds} pairs")
        say(ratio=statistics.median(ratios), pairs=rounds)


JOBS = (
    "text-networks/simple-rnn-16",
    "text-networks/lstm-16",
    "word-embeddings/embedding-flatten-dense",
    "word-embeddings/embedding-recurrent",
)
"""Cells of two documents: recurrent ones, which gain little from a second thread, and one that is not."""
SERIAL, AUTO, EVERY_CORE = "one after another, 1 thread", "--jobs auto, 1 thread", "one after another, every core"
SIDES = {SERIAL: ["--threads=1"], AUTO: ["--threads=1", "--jobs=auto"], EVERY_CORE: []}


def measure_jobs(patterns: Sequence[str], seeds: int, rounds: int, *, scripts: bool) -> None:
    """Print seconds of alternating runs of the same cells, their ratios, and whether the scores of two are equal.

    With `scripts` also those of the stand-alone script, once for each cell, one after another on every core.
    """
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            scores = {}
            for side in list(SIDES)[:: -1 if number % 2 else 1]:
                store = Path(folder) / f"{number}-{len(scores)}.sqlite"
                options = ["--profile=documented", "--measure=accuracy", f"--seeds={seeds}", f"--store={store}"]
                command = [sys.executable, "-m", "bench", "run", *patterns, *options, "--name=r", *SIDES[side]]
                start = time.perf_counter()
                said = subprocess.run(command, env=environment, capture_output=True, text=True)
                seconds[side].append(time.perf_counter() - start)
                if said.returncode:
                    sys.exit(f"{' '.join(command)}\n{said.stderr}")
                for line in (line for line in said.stderr.splitlines() if line.startswith("bench: --jobs")):
                    print(line)
                with Store(store) as stored:
                    scores[side] = {record.cell: figures_of(record) for record in stored.records("r")}
                print(f"{side}: {seconds[side][-1]:.1f} s for {len(scores[side])} cells", flush=True)
            same = sum(scores[SERIAL][cell] == scores[AUTO][cell] for cell in scores[SERIAL])
            print(
                f"equal at equal threads, every loss and accuracy of every epoch: {same} of {len(scores[SERIAL])} cells"
            )
    if scripts:
        start = time.perf_counter()
        for cell, metrics in scores[SERIAL].items():
            words = [__file__, "standalone", "--backend", cell.backend, "--case", cell.case_name]
            command = [sys.executable, *words, "--epochs", str(len(metrics.epochs))]
            subprocess.run(command, env=environment, check=True, capture_output=True)
        seconds["scripts one after another"] = [time.perf_counter() - start] * rounds
    for side, taken in seconds.items():
        ratio = statistics.median(auto / other for auto, other in zip(seconds[AUTO], taken, strict=True))
        print(f"{side}: median {statistics.median(taken):.1f} s; --jobs auto / this: {ratio:.2f}")
        say(**{f"to {side}": ratio, f"seconds, {side}": statistics.median(taken)})
    say(cells=len(scores[SERIAL]), equal=same)


def measure_commands(rounds: int) -> None:
    """Print the seconds of `bench list` and `bench --help` beyond an interpreter's own, in alternation."""
    seconds: dict[str, list[float]] = {"list": [], "--help": [], "pass": []}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(rounds + 1):
        for word, taken in seconds.items():
            words = ["-c", "pass"] if word == "pass" else ["-m", "bench", word]
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], env=environment, check=True, capture_output=True)
            taken.append(time.perf_counter() - start)
    for word in ("list", "--help"):
        beyond = statistics.median(a - b for a, b in zip(seconds[word][1:], seconds["pass"][1:], strict=True))
        print(f"bench {word}: {beyond:.2f} s more than python -c pass, median of {rounds}")
        say(**{word: beyond})


def measure_start(name: str, backend_name: str, seeds: int, rounds: int) -> None:
    """Print seconds and CPU seconds a cell, forked and a process each, their ratios, and whether scores are equal."""
    suite, case = load().case(name)
    kernel = best_kernel(backend(backend_name), resolve(suite, case, "documented"), "cpu")
    cells = [
        PlannedCell(Cell(*name.split("/"), backend_name, kernel, "cpu", "documented", seed), 0, frozenset(), None, 1.0)
        for seed in range(seeds)
    ]
    sides = {"forked": True, "a process each": False}
    seconds: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    scores = {}
    for number in range(rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            settings = workers.Settings("documented", "accuracy", cores(), forks=sides[side])
            began = time.perf_counter(), os.times()
            ran = workers.run(cells, settings, workers.Limits(math.inf), workers.Silent(), threading.Event())
            scores[side] = [figures_of(record) for record in ran]
            wall, ended = time.perf_counter() - began[0], os.times()
            busy = sum(getattr(ended, part) - getattr(began[1], part) for part in ("children_user", "children_system"))
            if None in scores[side]:
                sys.exit(f"{name}@{backend_name}: a cell did not train")
            seconds[side].append((wall / seeds, busy / seeds))
            print(f"{side}: {wall / seeds:.2f} s a cell, {busy / seeds:.2f} s of CPU", flush=True)
        print(f"equal, every loss and accuracy: {scores['forked'] == scores['a process each']}")
    medians = {side: np.median(found, axis=0) for side, found in seconds.items()}
    for side, (wall, busy) in medians.items():
        print(f"{name}@{backend_name}, {side}: median {wall:.2f} s a cell, {busy:.2f} s of CPU")
    wall, busy = medians["forked"] / medians["a process each"]
    print(f"forked / a process each, {seeds} seeds, {rounds} rounds: {wall:.2f}, CPU {busy:.2f}")
    equal = float(scores["forked"] == scores["a process each"])
    say(**{f"{backend_name} wall": wall, f"{backend_name} CPU": busy, f"{backend_name} equal": equal})
    for side, (wall, busy) in medians.items():
        say(**{f"{backend_name} {side}, s": wall, f"{backend_name} {side}, CPU s": busy})


def figures_of(record: Record) -> object:
    """Return every score of a record, without its seconds; None where it has none."""
    found = record.metrics
    epochs = [structs.replace(epoch, seconds=0.0) for epoch in found.epochs] if found else []
    return found and structs.replace(found, epochs=epochs)


def main() -> None:
    """Measure one backend and case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("epoch", "epochs", "cell", "standalone", "jobs", "command", "start"))
    parser.add_argument("patterns", nargs="*", default=JOBS, help="the cells of `jobs`")
    parser.add_argument("--seeds", type=int, default=2, help="of `jobs` and `start`")
    parser.add_argument("--scripts", action="store_true", help="of `jobs`: see above")
    parser.add_argument("--backend", help="default: torch and keras-tensorflow, one after the other")
    parser.add_argument("--numerics", default="native", help="of `epoch`")
    parser.add_argument("--no-waits", action="store_true", help="of `epoch`: see above")
    parser.add_argument("--case", default="text-networks/lstm-16")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--processes", type=int, default=8, help="of `epoch`")
    parser.add_argument("--epochs", type=int, default=24, help="of a cell: enough for 30 s of training")
    arguments = parser.parse_args()
    if arguments.what == "jobs":
        measure_jobs(arguments.patterns, arguments.seeds, arguments.rounds, scripts=arguments.scripts)
    elif arguments.what == "command":
        measure_commands(arguments.rounds)
    elif arguments.backend is None:
        for name in ("torch", "keras-tensorflow"):
            subprocess.run([sys.executable, *sys.argv, "--backend", name], check=True)
    elif arguments.what == "epoch":
        compare_epochs(
            arguments.case,
            arguments.backend,
            arguments.numerics,
            arguments.rounds,
            arguments.processes,
            waits=not arguments.no_waits,
        )
    elif arguments.what == "epochs":
        measure_epochs(
            arguments.case, arguments.backend, arguments.numerics, arguments.rounds, waits=not arguments.no_waits
        )
    elif arguments.what == "start":
        measure_start(arguments.case, arguments.backend, arguments.seeds, arguments.rounds)
    elif arguments.what == "cell":
        measure_cells(arguments.case, arguments.backend, arguments.rounds, arguments.epochs)
    else:
        standalone(arguments.case, arguments.backend, arguments.epochs)


if __name__ == "__main__":
    main()
