"""Layers are matched by order, kind and shapes; what is not clear is not guessed."""

from __future__ import annotations

import pytest

from bench.errors import UsageError
from bench.port.match import match
from bench.port.trace import Layer


def dense(name: str, inputs: int, units: int, *, bias: bool = True) -> Layer:
    weights = {"kernel": (inputs, units), "bias": (units,)} if bias else {"kernel": (inputs, units)}
    return Layer(name, "Dense", "Dense", {}, weights, dict.fromkeys(weights, True), None)


def linear(name: str, inputs: int, units: int, *, bias: bool = True) -> Layer:
    weights = {"weight": (units, inputs), "bias": (units,)} if bias else {"weight": (units, inputs)}
    return Layer(name, "Dense", "Linear", {}, weights, dict.fromkeys(weights, True), None)


def lstm(name: str, inputs: int, units: int, *, both: bool = False) -> Layer:
    shapes = {"kernel": (inputs, 4 * units), "recurrent_kernel": (units, 4 * units), "bias": (4 * units,)}
    weights = {f"{side}/{key}": shape for side in ("forward", "backward") for key, shape in shapes.items()}
    weights = weights if both else shapes
    return Layer(name, "LSTM", "Bidirectional" if both else "LSTM", {}, weights, dict.fromkeys(weights, True), None)


def torch_lstm(name: str, inputs: int, units: int, *, layers: int = 1, both: bool = False) -> Layer:
    weights: dict[str, tuple[int, ...]] = {}
    for at in range(layers):
        for side in ("", "_reverse")[: 1 + both]:
            wide = inputs if at == 0 else units * (1 + both)
            weights |= {f"weight_ih_l{at}{side}": (4 * units, wide), f"weight_hh_l{at}{side}": (4 * units, units)}
            weights |= {f"bias_{kind}_l{at}{side}": (4 * units,) for kind in ("ih", "hh")}
    config = {"num_layers": layers, "bidirectional": both, "batch_first": True}
    return Layer(name, "LSTM", "LSTM", config, weights, dict.fromkeys(weights, True), None)


def pairs(keras: list[Layer], torch: list[Layer], **chosen: str) -> dict[str, str]:
    found = match(keras, torch, chosen)
    assert found.complete, (found.keras, found.torch)
    return {"+".join(layer.name for layer in pair.keras): pair.torch.name for pair in found.pairs}


def test_layers_of_one_shape_are_matched_in_order() -> None:
    keras, torch = [dense("a", 4, 4), dense("b", 4, 4)], [linear("x", 4, 4), linear("y", 4, 4)]
    assert pairs(keras, torch) == {"a": "x", "b": "y"}


def test_branches_that_run_in_another_order_are_told_by_their_shapes() -> None:
    keras, torch = [dense("a", 4, 3), dense("b", 4, 5)], [linear("x", 4, 5), linear("y", 4, 3)]
    assert pairs(keras, torch) == {"a": "y", "b": "x"}


def test_a_stack_of_torch_stands_for_layers_of_keras() -> None:
    keras = [lstm("one", 3, 5), lstm("two", 5, 5), dense("head", 5, 1)]
    torch = [torch_lstm("rnn", 3, 5, layers=2), linear("fc", 5, 1)]
    assert pairs(keras, torch) == {"one+two": "rnn", "head": "fc"}
    assert pairs([lstm("both", 3, 5, both=True)], [torch_lstm("rnn", 3, 5, both=True)]) == {"both": "rnn"}


def test_one_direction_does_not_stand_for_two() -> None:
    assert not match([lstm("both", 3, 5, both=True)], [torch_lstm("rnn", 3, 5)], {}).complete


def test_a_bias_on_one_side_alone_does_not_hinder() -> None:
    assert pairs([dense("a", 4, 3)], [linear("x", 4, 3, bias=False)]) == {"a": "x"}
    assert pairs([dense("a", 4, 3, bias=False)], [linear("x", 4, 3)]) == {"a": "x"}


def test_a_layer_that_fits_two_is_not_guessed() -> None:
    keras, torch = [dense("a", 4, 4), dense("b", 4, 4), dense("c", 4, 1)], [linear("x", 4, 4), linear("z", 4, 1)]
    found = match(keras, torch, {})
    assert [layer.name for layer in found.keras] == ["a", "b"]
    assert found.candidates == {"x": ["a", "b"]}
    found = match(keras, torch, {"b": "x"})
    assert [layer.name for layer in found.keras] == ["a"]
    assert {pair.first.name: pair.torch.name for pair in found.pairs} == {"b": "x", "c": "z"}


def test_the_users_choice_overrides_order() -> None:
    keras, torch = [dense("a", 4, 4), dense("b", 4, 4)], [linear("x", 4, 4), linear("y", 4, 4)]
    assert pairs(keras, torch, a="y", b="x") == {"a": "y", "b": "x"}


@pytest.mark.parametrize(("keras", "torch", "word"), [("aa", "x", "a"), ("a", "xx", "x"), ("a", "z", "4")])
def test_a_choice_that_cannot_be_is_refused(keras: str, torch: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        match([dense("a", 4, 4)], [linear("x", 4, 4), linear("z", 4, 5)], {keras: torch})


def test_hundreds_of_layers_are_matched() -> None:
    keras = [dense(f"k{at}", 8, 8) for at in range(600)]
    torch = [linear(f"t{at}", 8, 8) for at in range(600)]
    assert pairs(keras, torch) == {f"k{at}": f"t{at}" for at in range(600)}
