"""The foreach optimizers against the formulas of Keras written out in NumPy, and against torch's own with a matching
epsilon.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bench.backends.torch.optimizers import KerasAdam, KerasRMSprop  # noqa: E402

STEPS = 25


@pytest.fixture
def problem():
    random = np.random.RandomState(0)
    weight = random.standard_normal((4, 3))
    # Magnitudes down to 1e-9 tell the places of epsilon apart.
    gradients = random.standard_normal((STEPS, 4, 3)) * 10.0 ** random.randint(-9, 1, (4, 3))
    return weight, gradients


def run(optimizer_of, weight, gradients):
    tensor = torch.tensor(weight.copy())
    optimizer = optimizer_of([tensor])
    for gradient in gradients:
        optimizer.step([torch.tensor(gradient)])
    return tensor.numpy()


def test_adam_is_the_formula_of_keras(problem):
    weight, gradients = problem
    expected, m, v = weight.copy(), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        # keras/src/optimizers/adam.py, update_step
        alpha = 0.001 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m = m + (g - m) * (1 - 0.9)
        v = v + (g * g - v) * (1 - 0.999)
        expected -= m * alpha / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(run(lambda w: KerasAdam(w, 0.001), weight, gradients), expected, rtol=1e-12)


def test_adam_equals_torch_with_the_equivalent_epsilon_of_each_step(problem):
    weight, gradients = problem
    parameter = torch.nn.Parameter(torch.tensor(weight.copy()))
    theirs = torch.optim.Adam([parameter], lr=0.001)
    for t, gradient in enumerate(gradients, start=1):
        theirs.param_groups[0]["eps"] = 1e-7 / np.sqrt(1 - 0.999**t)
        parameter.grad = torch.tensor(gradient)
        theirs.step()
    ours = run(lambda w: KerasAdam(w, 0.001), weight, gradients)
    np.testing.assert_allclose(ours, parameter.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    ("epsilon", "divisor"),
    [("outside", lambda v: np.sqrt(v) + 1e-7), ("inside", lambda v: np.sqrt(v + 1e-7))],
)
def test_rmsprop_is_the_formula_of_each_keras(problem, epsilon, divisor):
    weight, gradients = problem
    expected, v = weight.copy(), 0.0
    for g in gradients:
        v = 0.9 * v + 0.1 * g * g
        expected -= 0.001 * g / divisor(v)
    np.testing.assert_allclose(run(lambda w: KerasRMSprop(w, 0.001, epsilon), weight, gradients), expected, rtol=1e-12)


def test_rmsprop_with_epsilon_outside_equals_torch(problem):
    weight, gradients = problem
    parameter = torch.nn.Parameter(torch.tensor(weight.copy()))
    theirs = torch.optim.RMSprop([parameter], lr=0.001, alpha=0.9, eps=1e-7)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        theirs.step()
    ours = run(lambda w: KerasRMSprop(w, 0.001, "outside"), weight, gradients)
    np.testing.assert_allclose(ours, parameter.detach().numpy(), rtol=1e-10)
