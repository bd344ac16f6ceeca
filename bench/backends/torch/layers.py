"""The layers of a `Model` for torch, each knowing how its tensors correspond to Keras's arrays.

Every layer lists its `tensors` (those that Keras has too) and translates lists of values that belong to them,
weights, gradients or optimizer slots alike, from and to Keras's layout. `forward(x, valid, masks)` takes and returns
activations (rows, time, features) or (rows, features) and the validity of steps (rows, time) or None, as Keras
carries it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from bench.backends.base import portions
from bench.backends.torch import recurrence
from bench.cases.model import BuiltLayer, edges
from bench.spec import (
    GRU,
    LSTM,
    Activation,
    ActivationLayer,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Gates,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Kernel,
    LayerNormalization,
    MaxPooling1D,
    Padding,
    Recurrent,
    SimpleRNN,
    SpatialDropout1D,
)

Output = tuple[Tensor, Tensor | None]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": nn.functional.gelu,
    "softmax": lambda x: torch.softmax(x, -1),
}


class Layer(nn.Module):
    """A layer without weights; the others name theirs and override the translation.

    `arrays` is the number of Keras's arrays that its `tensors` correspond to. `moving` are those of the tensors that a
    forward pass in training moves.
    """

    moving: Sequence[Tensor] = ()

    def __init__(self, tensors: Sequence[nn.Parameter] = ()) -> None:
        super().__init__()
        self.tensors, self.arrays = list(tensors), len(tensors)
        for number, tensor in enumerate(tensors):
            self.register_parameter(f"tensor_{number}", tensor)

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return the activations and the validity of their steps."""
        raise NotImplementedError

    def to_keras(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return values that belong to `tensors` in Keras's layout."""
        return list(values)

    def from_keras(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return values in Keras's layout as they belong to `tensors`: most translations are their own inverses."""
        return self.to_keras(values)

    @property
    def trained(self) -> Layer:
        """Return what of the layer is trained, as a layer: where not all is, tensors are Keras's arrays as they are."""
        tensors = [tensor for tensor in self.tensors if tensor.requires_grad]
        return self if len(tensors) == len(self.tensors) else Layer(tensors)

    @property
    def stored(self) -> int:
        """Return the number of values that the layer keeps, whether they belong to the model or not."""
        return sum(parameter.numel() for parameter in self.parameters())

    def torchs_module(self) -> nn.Module:
        """Return the layer as torch's users make it, freshly drawn."""
        return nn.Module()

    @torch.no_grad()
    def draw(self) -> None:
        """Draw the tensors as torch's own module does when it is made (on the CPU, from the global generator)."""
        for tensor, value in zip(self.tensors, self.torchs_module().parameters(), strict=True):
            tensor.copy_(value)


class Stack(Layer):
    """Layers one after the other; `masks` are the numbers of dropout masks that they take."""

    def __init__(self, layers: Sequence[Layer], masks: Sequence[int]) -> None:
        super().__init__()
        self.layers, self.masks = nn.ModuleList(layers), masks
        self._layers = list(layers)  # nn.ModuleList forgets their type
        self.tensors = [tensor for layer in layers for tensor in layer.tensors]
        self.arrays = sum(layer.arrays for layer in layers)

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return the activations of the last layer and the validity of their steps."""
        for layer, given in zip(self.layers, portions(masks, self.masks), strict=True):
            x, valid = layer(x, valid, given)
        return x, valid

    def to_keras(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the arrays of every layer."""
        parts = portions(values, [len(layer.tensors) for layer in self._layers])
        return [array for layer, part in zip(self._layers, parts, strict=True) for array in layer.to_keras(part)]

    def from_keras(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors of every layer."""
        parts = portions(values, [layer.arrays for layer in self._layers])
        return [value for layer, part in zip(self._layers, parts, strict=True) for value in layer.from_keras(part)]

    def draw(self) -> None:
        """Draw every layer's tensors, in their order."""
        for layer in self._layers:
            layer.draw()


class Function(Layer):
    """A layer without weights: a function of activations, validity and masks."""

    def __init__(self, function: Callable[[Tensor, Tensor | None, Sequence[Tensor]], Output]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return the function's results."""
        return self._function(x, valid, masks)


def _flatten(x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
    """Make all axes but the first one; Keras drops the mask here."""
    return x.flatten(1), None


def _mean(x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
    """Return the mean over valid steps (keras/src/layers/pooling/global_average_pooling1d.py)."""
    if valid is None:
        return x.mean(1), None
    weight = valid.unsqueeze(-1).to(x.dtype)
    return (x * weight).sum(1) / weight.sum(1), None


def _maximum(x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
    """Return the maximum over time; Keras ignores the mask here."""
    # A compiled backward pass computes x anew: in float32 none may equal the maximum, and `amax`'s gradient is 0/0.
    return (x.max(1).values if torch.compiler.is_compiling() else x.amax(1)), None


def _dropout(x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
    """Return x times the harness's mask (rows, *shape) while training."""
    return (x * masks[0] if masks else x), valid


def _padded(x: Tensor, size: int, strides: int, padding: Padding, value: float = 0.0) -> Tensor:
    """Return x (rows, features, time) with what windows need at its ends; torch itself pads both alike."""
    before, behind = edges(x.shape[-1], size, strides, padding)
    return nn.functional.pad(x, (before, behind), value=value) if before or behind else x


def _pooled(layer: MaxPooling1D | AveragePooling1D) -> Layer:
    """Return a pooling of windows; Keras drops the mask here."""
    size, strides = layer.pool_size, layer.strides or layer.pool_size

    def mean(x: Tensor) -> Tensor:
        return nn.functional.avg_pool1d(_padded(x, size, strides, layer.padding), size, strides)

    def pool(x: Tensor) -> Tensor:
        if isinstance(layer, MaxPooling1D):
            return nn.functional.max_pool1d(_padded(x, size, strides, layer.padding, -torch.inf), size, strides)
        return mean(x) if layer.padding == "valid" else mean(x) / mean(torch.ones_like(x[:1, :1]))

    return Function(lambda x, valid, masks: (pool(x.transpose(1, 2)).transpose(1, 2), None))


class EmbeddingLayer(Layer):
    """Rows of a table, ids 0 masked where the case says so."""

    def __init__(self, layer: Embedding) -> None:
        super().__init__([nn.Parameter(torch.zeros(layer.input_dim, layer.output_dim), layer.trainable)])
        self._mask_zero = layer.mask_zero

    def torchs_module(self) -> nn.Module:
        """Return a table drawn from N(0, 1)."""
        return nn.Embedding(*self.tensors[0].shape)

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return the rows of the ids."""
        return nn.functional.embedding(x, self.tensors[0]), (x != 0) if self._mask_zero else None


class DenseLayer(Layer):
    """torch.nn.functional.linear; torch's kernels have the axes of Keras's the other way round."""

    def __init__(self, built: BuiltLayer, activation: Activation) -> None:
        super().__init__([nn.Parameter(torch.zeros(weight.shape[::-1])) for weight in built.weights])
        self._activate = ACTIVATIONS[activation]

    def torchs_module(self) -> nn.Module:
        """Return a linear layer drawn from U(±1/√inputs), bias too."""
        units, inputs = self.tensors[0].shape
        return nn.Linear(inputs, units, bias=len(self.tensors) > 1)

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return the activations."""
        return self._activate(nn.functional.linear(x, *self.tensors)), valid

    def to_keras(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return kernel and bias; both ways this reverses the kernel's axes."""
        return [value.permute(*reversed(range(value.dim()))) for value in values]


class Conv1DLayer(DenseLayer):
    """torch.nn.functional.conv1d, its kernel (out, in, width); Keras drops the mask here."""

    def __init__(self, built: BuiltLayer, layer: Conv1D) -> None:
        super().__init__(built, layer.activation)
        self._windows: tuple[int, int, Padding] = layer.kernel_size, layer.strides, layer.padding

    def torchs_module(self) -> nn.Module:
        """Return a convolution drawn from kaiming_uniform(a=√5)."""
        filters, features, width = self.tensors[0].shape
        return nn.Conv1d(features, filters, width)

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return the activations (rows, time, filters)."""
        kernel, bias = self.tensors
        _, strides, _ = self._windows
        steps = _padded(x.transpose(1, 2), *self._windows)
        return self._activate(nn.functional.conv1d(steps, kernel, bias, strides).transpose(1, 2)), None


class _Normalization(Layer):
    """What normalizations share: weights that are ones and zeros, in Keras and in torch."""

    def __init__(self, built: BuiltLayer) -> None:
        super().__init__([nn.Parameter(torch.zeros(spec.shape), spec.trainable) for spec in built.weights])

    def draw(self) -> None:
        """Leave the tensors as they were loaded: torch's modules draw nothing for them either."""


class LayerNormalizationLayer(_Normalization):
    """torch.nn.functional.layer_norm over the features."""

    def __init__(self, built: BuiltLayer, epsilon: float) -> None:
        super().__init__(built)
        self._epsilon = epsilon

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return the normalized steps."""
        gamma, beta = self.tensors
        return nn.functional.layer_norm(x, gamma.shape, gamma, beta, self._epsilon), valid


COUNTED = 1e-7
"""What Keras adds to the number of steps that count (keras/src/layers/normalization/batch_normalization.py)."""


class BatchNormalizationLayer(_Normalization):
    """Batch normalization whose moving variance follows the biased variance of batches; masked steps do not count.

    `torchs` makes it torch's own: its moving variance follows the unbiased one, and it knows no masks.
    """

    def __init__(self, built: BuiltLayer, layer: BatchNormalization, torchs: bool) -> None:
        super().__init__(built)
        self.moving = self.tensors[2:]
        self._share, self._epsilon, self._torchs = 1 - layer.momentum, layer.epsilon, torchs

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return the normalized steps: by the moments of the batch in training, by moving ones in evaluation."""
        gamma, beta, *moving = self.tensors
        moving_mean, moving_variance = moving
        steps = x.flatten(0, -2)  # in this layout torch's kernel takes a third of its time
        if self._torchs or not self.training:
            out = nn.functional.batch_norm(
                steps, moving_mean, moving_variance, gamma, beta, self.training, self._share, self._epsilon
            )
            return out.view_as(x), valid
        if valid is None:
            mean, variance = (torch.zeros_like(moment) for moment in moving)
            # As `nn.functional.batch_norm`, which refuses a single step.
            out = torch.batch_norm(steps, gamma, beta, mean, variance, True, 1.0, self._epsilon, True)
            variance = variance * ((len(steps) - 1) / len(steps)) if len(steps) > 1 else torch.zeros_like(variance)
        else:
            counted = valid.flatten().unsqueeze(-1).to(x.dtype)
            number = counted.sum() + COUNTED
            mean = (steps * counted).sum(0) / number
            variance = ((steps - mean) * counted).square().sum(0) / number
            out = (steps - mean) * (gamma * (variance + self._epsilon).rsqrt()) + beta
        with torch.no_grad():
            for moment, found in zip(moving, (mean, variance), strict=True):
                moment.lerp_(found, self._share)
        return out.view_as(x), valid


_KINDS: dict[type, Callable[[int, int], nn.RNNBase]] = {SimpleRNN: nn.RNN, LSTM: nn.LSTM, GRU: nn.GRU}


class RecurrentLayer(Layer):
    """What the fused and the generic recurrent layers share: direction, masks, biases, which states they return.

    torch's own layers have two biases: `two_biases` says whether the model has both (a GRU with `reset_after`, and any
    layer under native `bias`) or one.
    """

    def __init__(self, layer: Recurrent, built: BuiltLayer, backwards: bool) -> None:
        super().__init__()
        self.spec, self.backwards, self.arrays = layer, backwards, len(built.weights)
        self.two_biases = len(built.weights[2].shape) == 2
        self._features = built.input_shape[1]

    def torchs_module(self) -> nn.RNNBase:
        """Return torch's layer, drawn from U(±1/√units)."""
        return _KINDS[type(self.spec)](self._features, self.spec.units)

    @torch.no_grad()
    def draw(self) -> None:
        """Draw the tensors as torch does; where the model has one bias, it is the sum of torch's two."""
        kernel, recurrent_kernel, *biases = self.torchs_module().parameters()
        drawn = [kernel, recurrent_kernel, *(biases if self.two_biases else [biases[0] + biases[1]])]
        for tensor, value in zip(self.tensors, self.from_keras(_to_keras(drawn, self.spec)), strict=True):
            tensor.copy_(value)

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return all states (rows, time, units) or the last one (rows, units), in the order of the steps taken."""
        steps = x.transpose(0, 1)
        ok = None if valid is None else valid.t()
        if self.backwards:
            steps, ok = steps.flip(0), None if ok is None else ok.flip(0)
        states = self.states(steps, None if ok is None else ok.unsqueeze(-1).to(x.dtype), masks)
        return (states.transpose(0, 1), valid) if self.spec.return_sequences else (states, None)

    def states(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Tensor:
        """Return the states (time, rows, units), or the last (rows, units), of x (time, rows, features)."""
        raise NotImplementedError


class GenericRecurrent(RecurrentLayer):
    """Step by step; tensors are Keras's kernel, recurrent kernel and bias (of an LSTM with columns i f o c)."""

    def __init__(self, layer: Recurrent, built: BuiltLayer, backwards: bool) -> None:
        super().__init__(layer, built, backwards)
        self.tensors = [nn.Parameter(torch.zeros(weight.shape)) for weight in built.weights]
        self.kept = nn.ParameterList(self.tensors)

    def states(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Tensor:
        """Return the states (time, rows, units), or the last (rows, units)."""
        kernel, recurrent_kernel, stored_bias = self.tensors
        by_gate = (mask.transpose(0, 1) for mask in masks)  # (gates or 1, rows, features)
        if isinstance(self.spec, LSTM):
            by_gate = (mask if len(mask) == 1 else _swap_last(mask, 1, 0) for mask in by_gate)
        drop_input = next(by_gate) if self.spec.dropout and masks else None
        drop_state = next(by_gate).contiguous() if self.spec.recurrent_dropout and masks else None
        bias, state_bias = stored_bias if self.two_biases else (stored_bias, None)
        if state_bias is not None and not isinstance(self.spec, GRU):  # which resets it
            bias, state_bias = stored_bias.sum(0), None
        z = _project(x, kernel, bias, drop_input)
        return self.recurrence(z, recurrent_kernel, state_bias, drop_state, valid)

    def recurrence(
        self, z: Tensor, weight: Tensor, bias: Tensor | None, drop: Tensor | None, valid: Tensor | None
    ) -> Tensor:
        """Return the states from projected inputs z (time, rows, columns); shapes as in the module `recurrence`."""
        sequences = self.spec.return_sequences
        match self.spec:
            case SimpleRNN():
                return recurrence.simple_rnn(z, weight, drop, valid, sequences)
            case LSTM():
                return recurrence.lstm(z, weight, drop, valid, self.gates, sequences)
            case GRU():
                return recurrence.gru(z, weight, bias, drop, valid, self.gates, sequences)

    @property
    def gates(self) -> Gates:
        """Return the gate function of an LSTM or a GRU."""
        assert not isinstance(self.spec, SimpleRNN)
        return self.spec.recurrent_activation or "sigmoid"

    def to_keras(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the values with the columns of an LSTM in the order i f c o, or from that in i f o c."""
        if not isinstance(self.spec, LSTM):
            return list(values)
        return [_swap_last(value, value.shape[-1] // 4, -1) for value in values]


def _swap_last(value: Tensor, size: int, axis: int) -> Tensor:
    """Swap the last two blocks of an axis, of this size each."""
    rest, third, fourth = value.split((value.shape[axis] - 2 * size, size, size), axis)
    return torch.cat((rest, fourth, third), axis)


def _project(x: Tensor, kernel: Tensor, bias: Tensor, drop: Tensor | None) -> Tensor:
    """Return x kernel + bias for all steps, (time, rows, columns); with a mask per gate each sees its own input."""
    if drop is None or len(drop) == 1:
        return nn.functional.linear(x if drop is None else x * drop[0], kernel.t(), bias)
    kernels, biases = kernel.chunk(len(drop), 1), bias.chunk(len(drop))
    return torch.cat([nn.functional.linear(x * d, k.t(), b) for d, k, b in zip(drop, kernels, biases, strict=True)], -1)


class FusedRecurrent(RecurrentLayer):
    """torch's own recurrent layer; the second bias it insists on is zero and frozen where the model has one only.

    It knows no masks: masked steps are moved behind the others.
    """

    def __init__(self, layer: Recurrent, built: BuiltLayer, backwards: bool) -> None:
        super().__init__(layer, built, backwards)
        self.layer = self.torchs_module()
        for parameter in self.layer.parameters():
            nn.init.zeros_(parameter)
        *self.tensors, second_bias = self.layer.parameters()
        second_bias.requires_grad_(self.two_biases)
        if self.two_biases:
            self.tensors.append(second_bias)

    def states(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Tensor:
        """Return the states (time, rows, units), or the last (rows, units)."""
        if masks:
            x = x * masks[0].transpose(0, 1)[0]
        if valid is not None:
            return self._masked_states(x, valid.squeeze(-1) > 0)
        states = self._run(x)
        return states if self.spec.return_sequences else states[-1]

    def _masked_states(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return the states where some steps do not count: the others are moved to the front.

        A step that does not count leaves the state as it was, and before any that does it is zero. What is computed
        behind the steps that count is not looked at.
        """
        front = valid.sort(dim=0, descending=True, stable=True).indices
        states = self._run(x.gather(0, front.unsqueeze(-1).expand_as(x)))
        counted = valid.cumsum(0) if self.spec.return_sequences else valid.sum(0, keepdim=True)
        counted = counted.unsqueeze(-1)
        last = (counted - 1).clamp(min=0).expand(-1, -1, self.spec.units)
        held = torch.where(counted > 0, states.gather(0, last), 0.0)
        return held if self.spec.return_sequences else held[0]

    def _run(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.layer(x.contiguous())[0])

    def to_keras(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return kernel, recurrent kernel, bias (one, or both stacked)."""
        return _to_keras(values, self.spec)

    def from_keras(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return weight_ih, weight_hh, bias_ih and, where the model has both biases, bias_hh."""
        kernel, recurrent_kernel = (_reorder(value.t(), self.spec) for value in values[:2])
        biases = values[2].unbind(0) if self.two_biases else (values[2],)
        return [kernel, recurrent_kernel, *(_reorder(bias, self.spec) for bias in biases)]


def _to_keras(values: Sequence[Tensor], layer: Recurrent) -> list[Tensor]:
    """Return torch's tensors in Keras's layout; gates i f c o are torch's i f g o, z r h its r z n reordered."""
    kernel, recurrent_kernel = (_reorder(value, layer).t() for value in values[:2])
    biases = [_reorder(value, layer) for value in values[2:]]
    return [kernel, recurrent_kernel, torch.stack(biases) if len(biases) == 2 else biases[0]]


def _reorder(value: Tensor, layer: Recurrent) -> Tensor:
    """Swap the first two thirds of the rows of a GRU's tensor (r z n and z r h are each other's swap)."""
    if not isinstance(layer, GRU):
        return value
    first, second, third = value.chunk(3, 0)
    return torch.cat((second, first, third), 0)


class BidirectionalLayer(Stack):
    """Two recurrent layers; the backward one's sequence is turned round again before both are concatenated.

    Sequences are zero at masked steps (keras/src/layers/rnn/bidirectional.py, `force_zero_output_for_mask`; Keras up to
    2.3 did not force it), whereas those of a layer alone repeat the state before.
    """

    def __init__(self, forward_layer: RecurrentLayer, backward_layer: RecurrentLayer, masks: int) -> None:
        super().__init__((forward_layer, backward_layer), (masks // 2, masks // 2))
        self.forward_layer, self.backward_layer = forward_layer, backward_layer

    def forward(self, x: Tensor, valid: Tensor | None, masks: Sequence[Tensor]) -> Output:
        """Return forward and backward states side by side."""
        forward_masks, backward_masks = portions(masks, self.masks)
        there, after = self.forward_layer(x, valid, forward_masks)
        back, _ = self.backward_layer(x, valid, backward_masks)
        if not self.backward_layer.spec.return_sequences:
            return torch.cat((there, back), -1), after
        both = torch.cat((there, back.flip(1)), -1)
        return both if valid is None else both * valid.unsqueeze(-1), after


def make(
    built: BuiltLayer,
    kernel: Kernel,
    generic: type[RecurrentLayer] = GenericRecurrent,
    differences: frozenset[str] = frozenset(),
) -> Layer:
    """Return the torch layer of a built layer; `generic` is what a recurrent one becomes unless `kernel` is fused.

    `differences` are those of the model.
    """
    torchs = "normalization" in differences
    recurrent = FusedRecurrent if kernel == "fused" else generic
    layer = built.layer
    match layer:
        case Embedding():
            return EmbeddingLayer(layer)
        case Flatten():
            return Function(_flatten)
        case GlobalAveragePooling1D():
            return Function(_mean)
        case GlobalMaxPooling1D():
            return Function(_maximum)
        case MaxPooling1D() | AveragePooling1D():
            return _pooled(layer)
        case Conv1D():
            return Conv1DLayer(built, layer)
        case Dense():
            return DenseLayer(built, layer.activation)
        case ActivationLayer():
            activate = ACTIVATIONS[layer.activation]
            return Function(lambda x, valid, masks: (activate(x), valid))
        case Dropout() | SpatialDropout1D():
            return Function(_dropout)
        case LayerNormalization():
            return LayerNormalizationLayer(built, layer.epsilon)
        case BatchNormalization():
            return BatchNormalizationLayer(built, layer, torchs)
        case SimpleRNN() | LSTM() | GRU():
            return recurrent(layer, built, backwards=False)
        case Bidirectional():
            half = replace(built, layer=layer.layer, weights=built.weights[: len(built.weights) // 2])
            there, back = (recurrent(layer.layer, half, backwards) for backwards in (False, True))
            return BidirectionalLayer(there, back, len(built.masks))
