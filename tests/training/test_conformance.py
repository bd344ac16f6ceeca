"""The conformance suite holds for our backends, and finds what a wrong backend does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from bench.backends.registry import backend
from bench.errors import Unavailable
from bench.spec import SGD, AdamW, CosineDecay, ExponentialDecay, PiecewiseConstantDecay
from bench.training import conformance
from bench.training.conformance import RULES, STACKS, Violation, built, model_of, verify

torch = pytest.importorskip("torch")

from bench.backends.torch.network import TorchNetwork  # noqa: E402
from bench.backends.torch.network import build as build_torch  # noqa: E402


def test_torch_conforms() -> None:
    lines = list(verify("torch"))
    native = "dense, native: denormals, init:dense, init:embedding, loss, optimizer, order follow the seed"
    assert [line for line in lines if not line.endswith(f"float64: {len(RULES)} rules hold")] == [native]
    assert len(lines) == len(STACKS) + 6 + 1  # six have two kernels


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_keras_conforms(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert list(verify("keras-tensorflow", ("dense",))) == [
        f"dense, none, float64: {len(RULES)} rules hold",
        "dense, native: embedding-gradient, init:dense, init:embedding, loss, order follow the seed",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model", "loaded"),
    [
        ("keras-jax", "dense", ["jax", "keras"]),
        ("keras-torch", "masked-fused", ["torch", "keras"]),
        ("tf-keras", "dense", ["tensorflow", "tf_keras"]),
        ("tf-keras", "masked-fused", ["tensorflow", "tf_keras"]),
    ],
)
def test_keras_conforms_on_its_other_engines_and_lines_and_loads_no_other(
    name: str, model: str, loaded: list[str]
) -> None:
    info = backend(name)
    if info.missing():
        pytest.skip(str(info.missing()))
    # A process has one engine, and one line.
    program = f"""import sys
from bench.training.conformance import verify
print(list(verify({name!r}, ({model!r},))))
print([each for each in ("tensorflow", "jax", "torch", "keras", "tf_keras") if sys.modules.get(each)])"""
    environment = {**os.environ, **dict(info.environment)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    kernel = "generic" if model_of(model).recurrent else "none"
    held = [f"{model}, {kernel}, float64: {len(RULES)} rules hold"]
    differences = ", ".join(sorted({"init:dense", "init:embedding", "loss", "order"} & info.native))
    native = [f"dense, native: {differences} follow the seed"] if model == "dense" else []
    expected = [*held, *native], loaded
    assert ended.stdout.splitlines()[-2:] == [str(each) for each in expected]


class WrongCounts(TorchNetwork):
    def parameters(self) -> Any:
        counted = super().parameters()
        first = structs.replace(counted.layers[0], total=counted.layers[0].total + 1)
        return structs.replace(counted, layers=[first, *counted.layers[1:]])


class LosesState(TorchNetwork):
    def set_optimizer_state(self, state: Any) -> None:
        super().set_optimizer_state([state[0], *(0 * value for value in state[1:])])


class WrongGradient(TorchNetwork):
    def gradients(self, *batch: Any) -> Any:
        found = super().gradients(*batch)
        return replace(found, gradients=[found.gradients[0] * 1.01, *found.gradients[1:]])


class WrongStep(TorchNetwork):
    def train_step(self, *batch: Any) -> float:
        before = self.get_weights()
        loss = super().train_step(*batch)
        self.set_weights([old + 1.001 * (new - old) for old, new in zip(before, self.get_weights(), strict=True)])
        return loss


class LossAfterStep(TorchNetwork):
    def train_step(self, *batch: Any) -> float:
        super().train_step(*batch)
        return self.gradients(*batch).loss


class IgnoresOrder(TorchNetwork):
    def train_epoch(self, x: Any, y: Any, order: Any, masks: Any) -> Any:
        return super().train_epoch(x, y, np.sort(order), masks)


class DropsPartialBatch(TorchNetwork):
    def train_epoch(self, x: Any, y: Any, order: Any, masks: Any) -> Any:
        return super().train_epoch(x, y, order[: len(order) // 4 * 4], masks)


class NormalisesOverTheBatch(TorchNetwork):
    def logits(self, x: Any) -> Any:
        found = super().logits(x)
        return found - found.mean()


class UnbiasedMovingVariance(TorchNetwork):
    """As torch's own batch normalization has it, over 4 rows of 7 steps."""

    def train_step(self, *batch: Any) -> float:
        before = self.get_weights()
        loss = super().train_step(*batch)
        after = self.get_weights()
        place = [spec.name for spec in self._model.weights].index("moving_variance")
        momentum = self._model.weights[place].momentum
        assert momentum is not None
        after[place] = after[place] + (after[place] - momentum * before[place]) / (4 * 7 - 1)
        self.set_weights(after)
        return loss


class EvaluatesByTheRows(TorchNetwork):
    def logits(self, x: Any) -> Any:
        before = self.get_weights()
        found = self._forward(self._tensor(x)).detach().numpy()
        self.set_weights(before)
        return found


class MovesByGradients(TorchNetwork):
    def gradients(self, *batch: Any) -> Any:
        found = super().gradients(*batch)
        self._forward(self._tensor(batch[0]))
        return found


class HidesDivergence(TorchNetwork):
    def train_epoch(self, *epoch: Any) -> Any:
        return replace(super().train_epoch(*epoch), first_bad_step=None)


class CountsTwice(TorchNetwork):
    def device_peak_bytes(self) -> int:
        return 1 << 20


@pytest.mark.parametrize(
    ("network", "rule"),
    [
        (WrongCounts, "parameters of embedding"),
        (LosesState, "optimizer state 1 after loading"),
        (WrongGradient, "slope of weight 0"),
        (WrongStep, "change of weight"),
        (LossAfterStep, "loss of step 1"),
        (IgnoresOrder, "of an epoch|after an epoch"),
        (DropsPartialBatch, "of an epoch|after an epoch"),
        (NormalisesOverTheBatch, "logits of single rows"),
        (HidesDivergence, "first bad step"),
        (CountsTwice, "device memory on a CPU"),
    ],
)
def test_a_wrong_backend_is_found(network: Callable[..., Any], rule: str) -> None:
    require_found(network, "dense", rule)


@pytest.mark.parametrize(
    ("network", "rule"),
    [
        (UnbiasedMovingVariance, "logits by the moments of the batch"),
        (EvaluatesByTheRows, "logits by the moments of the batch|logits of single rows"),
        (MovesByGradients, "after gradients"),
    ],
)
def test_wrong_moving_averages_are_found(network: Callable[..., Any], rule: str) -> None:
    require_found(network, "sequences", rule)


def require_found(network: Callable[..., Any], model_name: str, rule: str) -> None:
    def build(model: Any, kernel: Any, device: Any, dtype: Any = "float32") -> Any:
        return network(model, kernel, device, getattr(torch, dtype))

    checked = built("wrong", build, model_name, "none")

    def hold() -> None:
        for each in RULES:
            each(checked)

    with pytest.raises(Violation, match=f"wrong, model '{model_name}': .*({rule})"):
        hold()


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("classes", {"learning_rate": 0.02}),
        ("classes", {"learning_rate": PiecewiseConstantDecay((2,), (0.02, 0.01))}),
        ("momentum", {"optimizer": SGD(0.8)}),
        ("momentum", {"learning_rate": ExponentialDecay(0.02, 2, 0.5, staircase=True)}),
        ("momentum", {"clip": None}),
        ("momentum", {"clip": ("global_clipnorm", 0.05)}),
        ("nesterov", {"optimizer": SGD(0.8)}),
        ("nesterov", {"learning_rate": CosineDecay(0.02, 4)}),
        ("nesterov", {"clip": None}),
        ("weight-decay", {"optimizer": AdamW(0.0)}),
        ("weight-decay", {"learning_rate": ExponentialDecay(0.001, 2, 0.5)}),
        ("weight-decay", {"clip": ("clipnorm", 0.05)}),
    ],
    ids=str,
)
def test_another_optimizer_schedule_or_limit_is_found(model: str, changes: dict[str, Any]) -> None:
    def build(asked: Any, kernel: Any, device: Any, dtype: Any = "float32") -> Any:
        return TorchNetwork(replace(asked, **changes), kernel, device, getattr(torch, dtype))

    checked = built("wrong", build, model, "none" if model in ("classes", "momentum") else "generic")
    with pytest.raises(Violation, match=f"wrong, model '{model}': (change of weight|slot)"):
        conformance.steps_follow_the_formula(checked)


def test_a_loss_of_classes_on_other_numbers_than_logits_is_found() -> None:
    class OnProbabilities(TorchNetwork):
        def _forward(self, *given: Any) -> Any:
            return super()._forward(*given).softmax(1)

        def gradients(self, *batch: Any) -> Any:
            found = super().gradients(*batch)
            return replace(found, logits=np.log(found.logits))

    def build(model: Any, kernel: Any, device: Any, dtype: Any = "float32") -> Any:
        return OnProbabilities(model, kernel, device, getattr(torch, dtype))

    with pytest.raises(Violation, match="loss of the logits"):
        conformance.gradients_are_derivatives(built("wrong", build, "classes", "none"))


def test_a_backend_must_refuse_a_kernel_that_does_not_fit() -> None:
    def accepts_all(model: Any, kernel: Any, device: Any, dtype: Any = "float32") -> Any:
        return TorchNetwork(model, "generic", device)

    with pytest.raises(Violation, match="expected Unavailable"):
        conformance.refuses_what_it_cannot_run("wrong", accepts_all)
    conformance.refuses_what_it_cannot_run("torch", build_torch)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda network, seed: torch.manual_seed(0), "initial native weights of seed 2 .*: expected others, found the"),
        (
            lambda network, seed: TorchNetwork.initialize(network, torch.seed()),
            "of seed 1 .*: expected the same, found",
        ),
    ],
)
def test_native_numerics_must_follow_the_seed(wrong: Callable[..., Any], message: str) -> None:
    class Wrong(TorchNetwork):
        def initialize(self, seed: int) -> None:
            wrong(self, seed)

    def build(model: Any, kernel: Any, device: Any, dtype: Any = "float32") -> Any:
        return Wrong(model, kernel, device)

    with pytest.raises(Violation, match=message):
        conformance.native_numerics_follow_the_seed("torch", build)


def test_a_backend_without_float64_is_checked_in_float32() -> None:
    def single(model: Any, kernel: Any, device: Any, dtype: Any = "float32") -> Any:
        if dtype == "float64":
            raise Unavailable("no float64")
        return build_torch(model, kernel, device)

    checked = built("single", single, "lstm", "generic")
    assert checked.dtype == "float32"
    for rule in RULES:
        rule(checked)
