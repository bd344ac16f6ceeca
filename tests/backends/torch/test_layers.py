"""torch's own layers on masked steps, moved behind the others, against the step-by-step recurrences on any mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

torch = pytest.importorskip("torch")

from bench.backends.torch.layers import make  # noqa: E402
from bench.spec import GRU, LSTM, Bidirectional, Embedding, GlobalMaxPooling1D, SimpleRNN  # noqa: E402
from tests.networks import WORDS, case, model_of  # noqa: E402

ROWS, STEPS, FEATURES = 4, 5, 3
LAYERS: dict[str, Any] = {
    "rnn": SimpleRNN,
    "lstm": lambda units, **more: LSTM(units, recurrent_activation="sigmoid", **more),
    "gru": lambda units, **more: GRU(units, recurrent_activation="sigmoid", **more),
}


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "bidirectional"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("kind", LAYERS)
@settings(max_examples=8)
@given(valid=arrays(bool, (ROWS, STEPS)))
def test_fused_equals_generic_whichever_steps_are_masked(
    kind: str, sequences: bool, wrapped: bool, valid: np.ndarray[Any, Any]
) -> None:
    valid[0] = False  # a row of padding alone
    layer = LAYERS[kind](2, return_sequences=sequences)
    after = (GlobalMaxPooling1D(),) if sequences else ()
    built = model_of(case(Embedding(WORDS, FEATURES), Bidirectional(layer) if wrapped else layer, *after)).layers[1]
    random = np.random.RandomState(0)
    weights = [torch.tensor(random.standard_normal(weight.shape)) for weight in built.weights]
    x = torch.tensor(random.standard_normal((ROWS, STEPS, FEATURES)), requires_grad=True)
    found = {}
    for kernel in ("generic", "fused"):
        made = make(built, kernel).double()
        with torch.no_grad():
            for tensor, value in zip(made.tensors, made.from_keras(weights), strict=True):
                tensor.copy_(value)
        out, _ = made(x, torch.tensor(valid), ())
        # Weighted, so that every step has a gradient of its own.
        (out * torch.linspace(1, 2, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
        gradients = made.to_keras([tensor.grad for tensor in made.tensors])
        found[kernel] = [out.detach(), x.grad, *gradients]
        x.grad = None
    for generic, fused in zip(found["generic"], found["fused"], strict=True):
        np.testing.assert_allclose(fused, generic, rtol=0, atol=1e-12)
