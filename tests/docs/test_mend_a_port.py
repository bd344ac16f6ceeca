"""The lines of docs/mend-a-port.md, executed: with each, a port computes what Keras does, without it something else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.cases.model import DIFFERENCES
from tests.conftest import ROOT

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")
tf = pytest.importorskip("tensorflow")

PAGE = (ROOT / "docs" / "mend-a-port.md").read_text(encoding="utf-8")
SECTIONS = {
    (re.search(r"\(`(.+)`\)", heading) or [heading, heading])[1]: re.findall(r"```python\n(.*?)```", body, re.DOTALL)
    for heading, _, body in (part.partition("\n") for part in PAGE.split("\n## ")[1:])
}
Names = dict[str, Any]
ROWS, LENGTH = 8, 6
ONCE = np.random.default_rng(0).permutation(10000)[: ROWS * LENGTH].reshape(ROWS, LENGTH)
"""Rows in which no word occurs twice."""
LABELS = np.array([0, 1] * (ROWS // 2), np.float32)


def port(*blocks: str) -> Names:
    """Return the names of the page's port after further blocks, all seeded alike, with weights that are not small."""
    names: Names = {}
    keras.utils.set_random_seed(1)
    torch.manual_seed(1)
    for block in (*SECTIONS["The port"], *blocks):
        exec(compile(block, "docs/mend-a-port.md", "exec"), names)
    names["model"](ONCE)
    random = np.random.default_rng(2)
    weights = [random.normal(0, 0.4, weight.shape) for weight in names["model"].get_weights()]
    names["model"].set_weights(weights)
    return names


def only(section: str) -> str:
    (block,) = SECTIONS[section]
    return block


def keras_gradients(names: Names, x: Any, y: Any) -> list[Any]:
    with tf.GradientTape() as tape:
        loss = keras.losses.BinaryCrossentropy()(y[:, None], names["model"](x))
    found = tape.gradient(loss, [variable.value for variable in names["model"].trainable_variables])
    return [tf.convert_to_tensor(gradient).numpy() for gradient in found]


def in_keras_layout(net: Any) -> list[Any]:
    """Return the weights of a port as Keras's `get_weights` has them: one bias, the sum of torch's two."""
    table, kernel, recurrent, bias, second, dense, dense_bias = (
        weight.detach().numpy().T.copy() for weight in net.parameters()
    )
    return [table.T, kernel, recurrent, bias + second, dense, dense_bias]


def gradients_of(net: Any) -> list[Any]:
    """Return the gradients of a port as Keras has them: of one bias."""
    table, kernel, recurrent, bias, _, dense, dense_bias = (weight.grad.numpy().T for weight in net.parameters())
    return [table.T, kernel, recurrent, bias, dense, dense_bias]


def step(names: Names, x: Any, y: Any) -> None:
    names["optimizer"].zero_grad()
    names["loss_of"](names["net"](torch.as_tensor(x)), torch.as_tensor(y)).backward()
    names["optimizer"].step()


def moved(names: Names, x: Any = ONCE, y: Any = LABELS, steps: int = 1) -> list[float]:
    """Return, weight by weight, how far the port's steps are from Keras's, relative to the largest change."""
    names["load_keras"](names["net"], names["model"])
    start = names["model"].get_weights()
    for _ in range(steps):
        names["model"].train_on_batch(x, y)
        step(names, x, y)
    ends = zip(start, names["model"].get_weights(), in_keras_layout(names["net"]), strict=True)
    return [float(np.abs(port - keras).max() / np.abs(keras - before).max()) for before, keras, port in ends]


EQUAL, APART = 1e-3, 1e-2
"""Rounding makes float32 steps differ by less than the one; what differs in kind differs by more than the other."""


def test_the_page_has_a_section_for_every_difference() -> None:
    assert set(SECTIONS) == {*DIFFERENCES, "The port"}
    assert all(SECTIONS.values())


def test_every_link_within_the_page_leads_to_a_section() -> None:
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= anchors


# --- forward and gradient ----------------------------------------------------------------------------------------


def test_keras_weights_give_a_port_keras_outputs_and_gradients() -> None:
    names = port()
    model, net = names["model"], names["net"]

    def outputs() -> list[Any]:
        return [model(ONCE).numpy()[:, 0], net(torch.as_tensor(ONCE)).detach().numpy()]

    before = outputs()
    assert np.abs(before[0] - before[1]).max() > 0.01
    names["load_keras"](net, model)
    np.testing.assert_allclose(*outputs(), rtol=1e-5)
    step(names, ONCE, LABELS)
    names["load_keras"](net, model)
    for expected, found in zip(keras_gradients(names, ONCE, LABELS), gradients_of(net), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


# --- initial weights: the distributions of Keras's own fresh layers ----------------------------------------------


NETS = 40


def pooled(nets: list[list[Any]]) -> list[Any]:
    """Return the numbers of each weight over many nets, of a large one the first."""
    return [np.concatenate([np.ravel(weight)[:2000] for weight in weights]) for weights in zip(*nets, strict=True)]


@pytest.fixture(scope="module")
def fresh() -> list[Any]:
    """Return what Keras draws for each weight of the port's model."""
    keras.utils.set_random_seed(5)
    nets = []
    for _ in range(NETS):
        made = keras.layers.Embedding(10000, 16), keras.layers.LSTM(16), keras.layers.Dense(1)
        for layer, shape in zip(made, ((1, 1), (1, 1, 16), (1, 16)), strict=True):
            layer.build(shape)
        nets.append([weight for layer in made for weight in layer.get_weights()])
    return pooled(nets)


def drawn(*sections: str) -> list[list[Any]]:
    names = port()
    nets = []
    for _ in range(NETS):
        names["net"] = names["Port"]()
        for section in sections:
            exec(only(section), names)
        nets.append(in_keras_layout(names["net"]))
    return nets


def alike(found: Any, expected: Any) -> bool:
    """Return whether two sets of numbers may come from one distribution (Kolmogorov and Smirnov)."""
    return bool(stats.ks_2samp(found, expected).pvalue > 0.001)


@pytest.mark.parametrize(
    ("section", "numbers"), [("init:embedding", [0]), ("init:recurrent", [1, 2, 3]), ("init:dense", [4, 5])]
)
def test_initial_weights_are_drawn_as_keras_draws_them(section: str, numbers: list[int], fresh: list[Any]) -> None:
    ported, mended = pooled(drawn()), pooled(drawn(section))
    assert [alike(*pair) for pair in zip(ported, fresh, strict=True)] == [False] * 6
    assert [alike(*pair) for pair in zip(mended, fresh, strict=True)] == [number in numbers for number in range(6)]
    assert max(np.abs(mended[number]).max() / np.abs(fresh[number]).max() for number in numbers[:1]) < 1.01


def test_an_orthogonal_kernel_is_so_as_a_whole_and_the_forget_gate_begins_open() -> None:
    (ported, *_), (mended, *_) = drawn(), drawn("init:recurrent")
    np.testing.assert_allclose(mended[2] @ mended[2].T, np.eye(16), atol=1e-5)
    assert np.abs(ported[2] @ ported[2].T - np.eye(16)).max() > 0.1
    np.testing.assert_array_equal(mended[3], [0] * 16 + [1] * 16 + [0] * 32)


# --- steps -------------------------------------------------------------------------------------------------------


def test_steps_are_keras_steps_with_one_bias_and_keras_formula() -> None:
    rmsprop, *_ = SECTIONS["optimizer"]
    assert max(moved(port(only("bias"), rmsprop), steps=3)) < EQUAL
    without_one_bias = moved(port(rmsprop), steps=3)
    assert without_one_bias[3] > APART, "the sum of two biases moves twice as fast"
    assert min(moved(port(only("bias")))) > APART, "torch's alpha and epsilon"


def test_before_keras_2_11_the_epsilon_was_outside_the_root() -> None:
    _, outside, _ = SECTIONS["optimizer"]
    gradients = np.array([1e-2, 1e-6, 3e-8])
    found = {}
    for name, block in (("ported", ""), ("mended", outside)):
        names = {"torch": torch, "net": torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(3))])}
        exec(block or "optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3)", names)
        for _ in range(2):
            names["net"][0].grad = torch.tensor(gradients, dtype=torch.float32)
            names["optimizer"].step()
        found[name] = names["net"][0].detach().numpy()
    v, expected = np.zeros(3), np.zeros(3)
    for _ in range(2):  # keras/optimizers.py at 2.2
        v = 0.9 * v + 0.1 * gradients**2
        expected -= 1e-3 * gradients / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(found["mended"], expected, rtol=1e-5)
    assert np.all(np.abs(found["ported"] / expected - 1) > APART)


def test_adam_has_keras_epsilon_at_every_step() -> None:
    _, _, adam = SECTIONS["optimizer"]
    gradients = np.array([1e-2, 1e-6, 3e-8], np.float32)
    weight, optimizer = keras.Variable(np.zeros(3)), keras.optimizers.Adam(1e-3)
    names: Names = {"torch": torch, "net": torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(3))])}
    exec(adam, names)
    ported = torch.nn.Parameter(torch.zeros(3))
    theirs = torch.optim.Adam([ported], lr=1e-3)
    for number in range(1, 4):
        optimizer.apply([keras.ops.convert_to_tensor(gradients)], [weight])
        for parameter in (names["net"][0], ported):
            parameter.grad = torch.tensor(gradients)
        names["adam_step"](number)
        theirs.step()
        expected = weight.numpy()
        np.testing.assert_allclose(names["net"][0].detach().numpy(), expected, rtol=1e-3)
        assert np.abs(ported.detach().numpy() / expected - 1).max() > APART


# --- layers that torch lacks -------------------------------------------------------------------------------------

X = np.random.default_rng(3).normal(size=(ROWS, LENGTH, 5)).astype(np.float32)


def gradient_of(layer: Any, x: Any, **call: Any) -> tuple[Any, Any]:
    """Return what a Keras layer gives, and the gradient of its sum by the input."""
    given = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        out = layer(given, **call)
        total = tf.reduce_sum(out)
    return out.numpy(), tape.gradient(total, given).numpy()


def torch_gradient_of(layer: Any, x: Any, *call: Any) -> tuple[Any, Any]:
    given = torch.tensor(x, requires_grad=True)
    out = layer(given, *call)
    out.sum().backward()
    return out.detach().numpy(), given.grad.numpy()


def recurrent(layer: Any) -> list[Any]:
    """Build a Keras layer with weights that are not small, and return them as tensors in torch's layout."""
    layer(X)
    random = np.random.default_rng(4)
    layer.set_weights([random.normal(0, 0.5, weight.shape) for weight in layer.get_weights()])
    return [torch.as_tensor(weight.T.copy()) for weight in layer.get_weights()]


def reordered(weight: Any) -> Any:
    """Return gates z r h as torch has them, r z n."""
    z, r, h = weight.chunk(3)
    return torch.cat([r, z, h])


def test_a_gru_resets_before_the_product_in_the_loop_and_after_it_in_torch() -> None:
    after, before = SECTIONS["reset-after"]
    names = port(after, before)
    old = keras.layers.GRU(4, reset_after=False)
    kernel, recurrent_kernel, bias = recurrent(old)
    loop, torchs = names["ResetBefore"](5, 4), torch.nn.GRU(5, 4, batch_first=True)
    with torch.no_grad():
        for parameter, value in zip(loop.parameters(), (kernel, bias, recurrent_kernel), strict=True):
            parameter.copy_(value)
        for parameter, value in zip(torchs.parameters(), (kernel, recurrent_kernel, bias, 0 * bias), strict=True):
            parameter.copy_(reordered(value))
    expected = gradient_of(old, X)
    for found, wanted in zip(torch_gradient_of(loop, X), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    theirs = torch_gradient_of(lambda x: torchs(x)[0][:, -1], X)
    assert np.abs(theirs[0] - expected[0]).max() > 0.01

    layer = names["keras_gru"]
    kernel, recurrent_kernel, bias = recurrent(layer)
    torchs = torch.nn.GRU(5, 16, batch_first=True)
    with torch.no_grad():
        for parameter, value in zip(torchs.parameters(), (kernel, recurrent_kernel, *bias.T), strict=True):
            parameter.copy_(reordered(value))
    found, wanted = torch_gradient_of(lambda x: torchs(x)[0][:, -1], X), gradient_of(layer, X)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-4, atol=1e-6)


def test_states_are_dropped_as_keras_drops_them() -> None:
    names = port(only("recurrent-dropout"))
    layer = keras.layers.LSTM(4, recurrent_dropout=0.5)
    kernel, recurrent_kernel, bias = recurrent(layer)
    ported, mended = torch.nn.LSTM(5, 4, batch_first=True), names["DroppedLSTM"](5, 4, 0.5)
    with torch.no_grad():
        for net in (ported, mended):
            values = (kernel, recurrent_kernel, bias, 0 * bias)
            for parameter, value in zip(net.parameters(), values, strict=True):
                parameter.copy_(value)
    masks = [2.0 * np.random.default_rng(gate).integers(0, 2, (ROWS, 4)).astype(np.float32) for gate in range(4)]
    layer.cell._recurrent_dropout_mask = [tf.convert_to_tensor(mask) for mask in masks]
    expected = gradient_of(layer, X, training=True)
    for found, wanted in zip(torch_gradient_of(mended, X, list(map(torch.as_tensor, masks))), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert np.abs(torch_gradient_of(lambda x: ported(x)[0][:, -1], X)[0] - expected[0]).max() > 0.01

    x = torch.as_tensor(X)
    assert not torch.equal(mended(x), mended(x)), "masks are drawn anew for every batch"
    mended.eval()
    np.testing.assert_allclose(mended(x).detach(), ported(x)[0][:, -1].detach(), rtol=1e-4, atol=1e-6)


def test_moving_averages_follow_the_batches_of_keras() -> None:
    names = port(only("normalization"))
    theirs, mended = keras.layers.BatchNormalization(), names["KerasBatchNorm"](5)
    ported, careful = torch.nn.BatchNorm1d(5), torch.nn.BatchNorm1d(5, eps=1e-3, momentum=0.01)
    batches = np.random.default_rng(8).normal(2.0, 3.0, (20, 3, LENGTH, 5)).astype(np.float32)
    for batch in batches:
        expected = theirs(batch, training=True).numpy()
        given = torch.as_tensor(batch).transpose(1, 2)
        outputs = [net(given).detach().transpose(1, 2).numpy() for net in (mended, ported, careful)]
        np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-5)
    mean, variance = theirs.get_weights()[2:]
    np.testing.assert_allclose(mended.running_mean, mean, rtol=1e-4)
    np.testing.assert_allclose(mended.running_var, variance, rtol=1e-4)
    assert np.abs(ported.running_mean.numpy() / mean - 1).min() > APART
    np.testing.assert_allclose(careful.running_mean, mean, rtol=1e-4)
    assert np.abs(careful.running_var.numpy() / variance - 1).min() > APART, "unbiased"
    evaluated = [net.eval()(given).detach().transpose(1, 2).numpy() for net in (mended, ported, careful)]
    wanted = theirs(batch).numpy()
    np.testing.assert_allclose(evaluated[0], wanted, rtol=1e-3, atol=1e-4)
    assert min(np.abs(found - wanted).max() for found in evaluated[1:]) > APART


def test_steps_are_normalized_with_keras_epsilon() -> None:
    names = port(only("normalization"))
    x = np.random.default_rng(9).normal(0, 0.05, (ROWS, LENGTH, 16)).astype(np.float32)
    expected = gradient_of(keras.layers.LayerNormalization(), x)
    for found, wanted in zip(torch_gradient_of(names["layer_norm"], x), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    assert np.abs(torch_gradient_of(torch.nn.LayerNorm(16), x)[0] - expected[0]).max() > APART


# --- loss, embedding gradient, order -----------------------------------------------------------------------------


def test_the_gradient_of_a_wrong_and_certain_prediction_is_keras() -> None:
    found = {}
    for name, blocks in (("ported", ()), ("mended", (only("loss"),))):
        names = port(*blocks)
        weights = names["model"].get_weights()
        names["model"].set_weights([*weights[:-1], np.array([40.0])])
        names["load_keras"](names["net"], names["model"])
        loss = names["loss_of"](names["net"](torch.as_tensor(ONCE)), torch.zeros(ROWS))
        loss.backward()
        found[name] = gradients_of(names["net"])
    expected = keras_gradients(names, ONCE, np.zeros(ROWS, np.float32))
    for mended, wanted in zip(found["mended"], expected, strict=True):
        np.testing.assert_allclose(mended, wanted, rtol=1e-3, atol=1e-6)
    assert expected[-1] == pytest.approx(1.0)
    assert np.abs(found["ported"][-1]).max() < 0.1


MENDED = (only("loss"), only("bias"), SECTIONS["optimizer"][0])
TWICE = np.random.default_rng(6).integers(0, 12, (ROWS, LENGTH))
"""Rows in which every word occurs several times."""


def test_words_that_occur_twice_move_as_in_torch_once_keras_sums_their_gradients() -> None:
    assert max(moved(port(*MENDED, only("embedding-gradient")), TWICE)) < EQUAL
    apart, *others = moved(port(*MENDED), TWICE)
    assert apart > APART
    assert max(others) < EQUAL, "the embedding alone is squared too early"


def test_both_train_the_same_model_for_epochs_in_one_order() -> None:
    random = np.random.default_rng(7)
    x, y = random.integers(0, 40, (40, LENGTH)), random.integers(0, 2, 40).astype(np.float32)

    def trained(order: str) -> Iterator[float]:
        names = port(*MENDED, only("embedding-gradient"), order)
        names["load_keras"](names["net"], names["model"])
        start = names["model"].get_weights()
        names["train_both"](x, y, epochs=3, batch_size=8)
        for before, theirs, ours in zip(
            start, names["model"].get_weights(), in_keras_layout(names["net"]), strict=True
        ):
            yield float(np.abs(ours - theirs).max() / np.abs(theirs - before).max())

    assert max(trained(only("order"))) < EQUAL
    shuffled = only("order").replace("shuffle=False", "shuffle=True")
    assert shuffled != only("order")
    assert max(trained(shuffled)) > APART


# --- denormal numbers --------------------------------------------------------------------------------------------


def test_flushed_denormals_are_zero_and_leave_results_as_they_are() -> None:
    names = port()
    tiny = torch.tensor([1e-30])
    outputs = []
    for block in ("torch.set_flush_denormal(False)", only("denormals")):
        try:
            exec(block, names)
            product = float((tiny * 1e-10).item())
            outputs.append((product, names["net"](torch.as_tensor(ONCE)).detach().numpy()))
        finally:
            torch.set_flush_denormal(False)
    (kept, before), (flushed, after) = outputs
    assert kept == pytest.approx(1e-40, rel=1e-3)
    assert flushed == 0.0
    np.testing.assert_array_equal(after, before)
