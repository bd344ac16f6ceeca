"""The formulas of both sides' optimizers are theirs, and a difference is named where it changes an update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.port.updates import Optimizer, causes, changes, formula, schedule

RNG = np.random.default_rng(0)
GRADIENTS = [RNG.normal(size=(4, 3)) * 1e-2, RNG.normal(size=3) * 1e-3]
WEIGHTS = [RNG.normal(size=(4, 3)), RNG.normal(size=3)]
STEPS = 5

ADAM = Optimizer("adam", True, 1e-2, decay=(0.9, 0.999), epsilon=1e-7)
CASES: dict[str, tuple[Optimizer, Callable[[Any, Any], Any]]] = {
    "adam": (ADAM, lambda keras, torch: (keras.optimizers.Adam(1e-2), torch.optim.Adam)),
    "adamw": (
        replace(ADAM, weight_decay=0.1),
        lambda keras, torch: (keras.optimizers.AdamW(1e-2, weight_decay=0.1), torch.optim.AdamW),
    ),
    "adam-coupled": (replace(ADAM, weight_decay=0.1, coupled=True), lambda keras, torch: (None, torch.optim.Adam)),
    "rmsprop": (
        Optimizer("rmsprop", True, 1e-2, momentum=0.5, decay=(0.9,), epsilon=1e-7),
        lambda keras, torch: (keras.optimizers.RMSprop(1e-2, momentum=0.5), torch.optim.RMSprop),
    ),
    "sgd": (
        Optimizer("sgd", True, 1e-2, momentum=0.9, nesterov=True),
        lambda keras, torch: (keras.optimizers.SGD(1e-2, momentum=0.9, nesterov=True), torch.optim.SGD),
    ),
    "clipnorm": (
        Optimizer("sgd", True, 1e-2, clip=("norm of each", 1e-2)),
        lambda keras, torch: (keras.optimizers.SGD(1e-2, clipnorm=1e-2), None),
    ),
    "global-clipnorm": (
        Optimizer("sgd", True, 1e-2, clip=("norm", 1e-2)),
        lambda keras, torch: (keras.optimizers.SGD(1e-2, global_clipnorm=1e-2), None),
    ),
    "clipvalue": (
        Optimizer("sgd", True, 1e-2, clip=("value", 1e-3)),
        lambda keras, torch: (keras.optimizers.SGD(1e-2, clipvalue=1e-3), None),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_keras_makes_this_change(name: str) -> None:
    keras = pytest.importorskip("keras")
    torch = pytest.importorskip("torch")
    how, make = CASES[name]
    optimizer, _ = make(keras, torch)
    if optimizer is None:
        pytest.skip("Keras has no such optimizer")
    variables = [keras.Variable(value, dtype="float64") for value in WEIGHTS]
    for _ in range(STEPS):
        optimizer.apply([keras.ops.convert_to_tensor(value) for value in GRADIENTS], variables)
    for v, start, wanted in zip(variables, WEIGHTS, changes(how, GRADIENTS, WEIGHTS, STEPS) or [], strict=True):
        moved = v.numpy() - start
        assert np.abs(moved - wanted).max() < 2e-5 * np.abs(wanted).max()  # 0.999 in float32


@pytest.mark.parametrize("name", [name for name in CASES if "clip" not in name])
def test_torch_makes_this_change(name: str) -> None:
    torch = pytest.importorskip("torch")
    how, make = CASES[name]
    _, made = make(pytest.importorskip("keras"), torch)
    how = replace(how, keras=False)
    settings: dict[str, Any] = {"lr": how.lr, "weight_decay": how.weight_decay}
    if how.kind == "adam":
        settings |= {"betas": how.decay, "eps": how.epsilon}
    elif how.kind == "rmsprop":
        settings |= {"alpha": how.decay[0], "eps": how.epsilon, "momentum": how.momentum}
    else:
        settings |= {"momentum": how.momentum, "nesterov": how.nesterov}
    parameters = [torch.nn.Parameter(torch.tensor(value)) for value in WEIGHTS]
    optimizer = made(parameters, **settings)
    for _ in range(STEPS):
        for parameter, gradient in zip(parameters, GRADIENTS, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    for parameter, start, wanted in zip(
        parameters, WEIGHTS, changes(how, GRADIENTS, WEIGHTS, STEPS) or [], strict=True
    ):
        assert np.abs(parameter.detach().numpy() - start - wanted).max() < 1e-12


def named(keras: Optimizer, torch: Optimizer) -> list[str]:
    return [told.slug for told in causes(keras, torch, GRADIENTS, WEIGHTS)]


def test_what_differs_is_named_and_nothing_else() -> None:
    assert named(ADAM, ADAM) == []
    assert named(ADAM, replace(ADAM, keras=False)) == ["optimizer-epsilon"]
    each_step = tuple(1e-7 / (1 - 0.999**step) ** 0.5 for step in range(1, 11))
    assert named(ADAM, replace(ADAM, keras=False, epsilons=each_step)) == []
    assert named(ADAM, replace(ADAM, decay=(0.9, 0.99))) == ["optimizer-decay"]
    assert named(ADAM, replace(ADAM, weight_decay=0.1)) == ["weight-decay-value"]
    decayed = replace(ADAM, weight_decay=0.1)
    assert named(decayed, replace(decayed, coupled=True)) == ["weight-decay-coupled"]
    assert named(ADAM, Optimizer("sgd", False, 1e-2)) == ["optimizer-kind"]


def test_a_setting_that_changes_no_update_is_not_named() -> None:
    high = replace(ADAM, clip=("norm", 1e3))
    assert named(high, ADAM) == []
    assert named(replace(ADAM, clip=("norm", 1e-3)), ADAM) == ["clipping-norm"]


def test_a_port_that_has_keras_formula_is_known_by_its_update() -> None:
    moved = changes(ADAM, GRADIENTS, WEIGHTS, 1) or []
    assert formula(replace(ADAM, keras=False), GRADIENTS, WEIGHTS, moved).keras
    other = replace(ADAM, keras=False)
    assert not formula(other, GRADIENTS, WEIGHTS, changes(other, GRADIENTS, WEIGHTS, 1) or []).keras


@pytest.mark.parametrize(
    ("keras", "torch", "slug"),
    [
        ([0.1] * 10, [0.1] * 10, None),
        ([0.1] * 10, [0.2] * 10, "learning-rate"),
        ([0.9**at for at in range(10)], [0.9 ** max(at - 1, 0) for at in range(10)], "schedule-offset"),
        ([0.9**at for at in range(10)], [0.9 ** (at + 1) for at in range(10)], "schedule-offset"),
        ([0.9**at for at in range(10)], [0.5**at for at in range(10)], "schedule"),
        ([0.9**at for at in range(10)], [1.0] * 10, "schedule"),
    ],
)
def test_rates_of_ten_steps_are_compared(keras: list[float], torch: list[float], slug: str | None) -> None:
    told = schedule(keras, torch)
    assert (told and told.slug) == slug
