"""The foreach optimizers against the formulas of Keras written out in NumPy, and against torch's own with a matching
epsilon.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bench.backends.torch.optimizers import (  # noqa: E402
    KerasAdam,
    KerasRMSprop,
    KerasSGD,
    clipped,
    learning_rate,
)
from bench.spec import SGD, CosineDecay, ExponentialDecay, PiecewiseConstantDecay  # noqa: E402

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


@pytest.mark.parametrize("declared", [SGD(), SGD(0.9), SGD(0.8, nesterov=True)], ids=str)
def test_sgd_at_one_rate_equals_torch(problem, declared):
    weight, gradients = problem
    parameter = torch.nn.Parameter(torch.tensor(weight.copy()))
    theirs = torch.optim.SGD([parameter], lr=0.01, momentum=declared.momentum, nesterov=declared.nesterov)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        theirs.step()
    ours = run(lambda w: KerasSGD(w, 0.01, declared), weight, gradients)
    np.testing.assert_allclose(ours, parameter.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("declared", [SGD(0.9), SGD(0.8, nesterov=True)], ids=str)
def test_the_momentum_of_sgd_holds_the_rate_of_its_time(problem, declared):
    weight, gradients = problem
    expected, m = weight.copy(), 0.0
    for t, g in enumerate(gradients):
        # keras/src/optimizers/sgd.py, update_step
        rate = 0.01 * 0.5 ** (t / 4)
        m = declared.momentum * m - rate * g
        expected += declared.momentum * m - rate * g if declared.nesterov else m
    ours = run(lambda w: KerasSGD(w, ExponentialDecay(0.01, 4, 0.5), declared), weight, gradients)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    parameter = torch.nn.Parameter(torch.tensor(weight.copy()))
    theirs = torch.optim.SGD([parameter], lr=0.01, momentum=declared.momentum, nesterov=declared.nesterov)
    for t, gradient in enumerate(gradients):
        theirs.param_groups[0]["lr"] = 0.01 * 0.5 ** (t / 4)
        parameter.grad = torch.tensor(gradient)
        theirs.step()
    assert np.abs(ours - parameter.detach().numpy()).max() > 1e-3  # torch's does not


def test_adamw_equals_torch_with_the_equivalent_epsilon_of_each_step(problem):
    weight, gradients = problem
    parameter = torch.nn.Parameter(torch.tensor(weight.copy()))
    theirs = torch.optim.AdamW([parameter], lr=0.001, weight_decay=0.3)
    for t, gradient in enumerate(gradients, start=1):
        theirs.param_groups[0]["eps"] = 1e-7 / np.sqrt(1 - 0.999**t)
        parameter.grad = torch.tensor(gradient)
        theirs.step()
    ours = run(lambda w: KerasAdam(w, 0.001, 0.3), weight, gradients)
    np.testing.assert_allclose(ours, parameter.detach().numpy(), rtol=1e-10)


def rates(schedule_of, steps=12):
    """Return the rates that a torch schedule sets for each step."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    schedule = schedule_of(torch.optim.lr_scheduler, optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("declared", "theirs", "steps"),
    [
        (ExponentialDecay(0.1, 1, 0.9), lambda of, o: of.ExponentialLR(o, 0.9), 12),
        (ExponentialDecay(0.1, 5, 0.9), lambda of, o: of.LambdaLR(o, lambda t: 0.9 ** (t / 5)), 12),
        (ExponentialDecay(0.1, 5, 0.9, staircase=True), lambda of, o: of.StepLR(o, 5, 0.9), 12),
        (CosineDecay(0.1, 8, 0.2), lambda of, o: of.CosineAnnealingLR(o, 8, eta_min=0.02), 9),
        # A boundary is the last step of its rate, a milestone the first of the next.
        (PiecewiseConstantDecay((3, 7), (0.1, 0.05, 0.025)), lambda of, o: of.MultiStepLR(o, [4, 8], 0.5), 12),
    ],
    ids=["exponential", "exponential-5", "staircase", "cosine", "piecewise"],
)
def test_schedules_are_torchs_where_torch_has_them(declared, theirs, steps):
    np.testing.assert_allclose([learning_rate(declared, t) for t in range(steps)], rates(theirs, steps), rtol=1e-12)


def test_a_cosine_stays_at_its_end_where_torchs_rises_again():
    declared = CosineDecay(0.1, 8, 0.2)
    assert [learning_rate(declared, t) for t in (8, 9, 1000)] == pytest.approx([0.02] * 3)
    assert rates(lambda of, o: of.CosineAnnealingLR(o, 8, eta_min=0.02))[9] > 0.021


def test_a_number_is_the_rate_of_every_step():
    assert {learning_rate(0.1, t) for t in range(9)} == {0.1}


def gradients_of(scale=1.0):
    random = np.random.RandomState(2)
    return [scale * random.standard_normal(shape) for shape in ((4, 3), (3,), (2, 2))]


def clip_by(how, limit, gradients):
    return [found.numpy() for found in clipped([torch.tensor(gradient) for gradient in gradients], how, limit)]


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_clipping_is_torchs_but_for_its_1e_6(scale):
    gradients = gradients_of(scale)

    def theirs(clip, together):
        parameters = [torch.nn.Parameter(torch.zeros(gradient.shape)) for gradient in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient, dtype=torch.float32)
        for group in [parameters] if together else [[parameter] for parameter in parameters]:
            clip(group, 1.5)
        return [parameter.grad.numpy() for parameter in parameters]

    of = torch.nn.utils
    for how, clip, together in (
        ("clipvalue", of.clip_grad_value_, True),
        ("clipnorm", of.clip_grad_norm_, False),
        ("global_clipnorm", of.clip_grad_norm_, True),
    ):
        for ours, expected in zip(clip_by(how, 1.5, gradients), theirs(clip, together), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=2e-6)


def test_a_clipped_norm_is_the_limit_and_a_shorter_one_stays():
    first, *_ = gradients = gradients_of()
    norms = [np.linalg.norm(gradient) for gradient in gradients]
    single = [np.linalg.norm(found) for found in clip_by("clipnorm", 1.5, gradients)]
    np.testing.assert_allclose(single, np.minimum(norms, 1.5))
    assert min(norms) < 1.5 < max(norms)
    together = np.sqrt(sum(np.sum(found**2) for found in clip_by("global_clipnorm", 1.5, gradients)))
    np.testing.assert_allclose(together, 1.5)
    np.testing.assert_array_equal(clip_by("global_clipnorm", 100.0, gradients)[0], first)


def test_nothing_is_left_where_a_gradient_is_infinite():
    """As in keras/src/optimizers/base_optimizer.py, `clip_by_global_norm`: a divergence is not clipped away."""
    gradients = [np.array([np.inf, 1.0]), np.ones(3)]
    assert all(np.isnan(found).all() for found in clip_by("global_clipnorm", 1.0, gradients))
