"""The table of known causes: what each is called, how it is told, and how a port is mended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """A known cause of a difference.

    `name`: in words. `told`: the experiment that tells it. `torch`: what mends the port; `{keras}` is what Keras has.
    """

    slug: str
    name: str
    told: str
    torch: str = "{keras}"


_AGAIN = "the torch layer, called again with Keras's value on the same input, gives Keras's output"
_OTHER = "Keras's layer, called again with the port's value on the same input, gives the port's output"
_FORMULA = "Keras's formula for the update, with this one value of the port's, gives another update"

CAUSES = {
    cause.slug: cause
    for cause in (
        # --- a layer by itself ---
        Cause("batchnorm-epsilon", "epsilon of BatchNorm", _AGAIN, "BatchNorm(..., eps={keras})"),
        Cause("layernorm-epsilon", "epsilon of a normalisation", _AGAIN, "LayerNorm(..., eps={keras})"),
        Cause("gate-function", "gate function", _OTHER,
            "torch's gates are sigmoid: write the cell by hand, or train Keras with recurrent_activation='sigmoid'"),
        Cause("rnn-activation", "activation of the state", _OTHER,
            "nn.RNN(..., nonlinearity={keras!r}); LSTM and GRU of torch have tanh alone"),
        Cause("gru-reset-after", "GRU flavour", "Keras's GRU has reset_after=False, and outputs differ",
            "torch's GRU is reset_after=True: train Keras so, or write the cell by hand"),
        Cause("same-padding", "padding of a convolution",
            "the torch layer on an input padded as Keras pads it gives Keras's output",
            "pad by hand in front: F.pad(x, {keras}), then padding=0"),
        Cause("convolution", "stride or dilation of a convolution", _AGAIN, "Conv(..., {keras})"),
        Cause("bias-missing", "weight on one side alone", "the weights were compared by name"),
        Cause("mask", "mask", "Keras's layer without its mask gives the port's value",
            "Keras skips masked steps: pack the sequence (pack_padded_sequence), key_padding_mask, a masked mean"),
        Cause("mode-eval-forgotten", "training behaviour in evaluation",
            "a dropout was active, or a BatchNorm took the batch's statistics, after module.eval()",
            "F.dropout(x, p, training=self.training); BatchNorm with track_running_stats=True"),
        # --- between layers ---
        Cause("last-state", "last state of a recurrent layer",
            "another state of the same layer is what the port hands on",
            "both final states: torch.cat([h_n[-2], h_n[-1]], 1) of two directions, h_n[-1] of one"),
        Cause("flatten-order", "order of axes before Flatten", "the same values, flattened in torch's order",
            "x.permute(0, 2, 1) (of images 0, 2, 3, 1) before flatten(1)"),
        Cause("pooling-size", "size or stride of pooling", "the pooling function was given other sizes"),
        Cause("pooling-padding", "padding of pooling", "the pooling function pads, rounds or counts otherwise",
            "{keras}; Keras never counts padding in a mean"),
        Cause("gelu-approximation", "approximation of GELU", "the other formula of GELU gives the port's value"),
        Cause("activation", "activation", "another function of the same value is what the port hands on",
            "apply {keras}"),
        Cause("nonlinearity-order", "order of activation and normalisation",
            "the activation is missing on one side of the layer and extra on the other",
            "apply the activation where Keras does: {keras}"),
        Cause("probabilities-logits", "probabilities and logits", "the values differ by a softmax or sigmoid alone"),
        Cause("reversed-input", "direction of time", "the port's value is Keras's, reversed in time",
            "flip the time axis as Keras does: {keras}"),
        Cause("missing-layer", "layer on one side alone", "the other side has nothing in its place"),
        # --- training mode ---
        Cause("batchnorm-momentum", "momentum of BatchNorm",
            "the moving mean moves by torch's momentum; Keras's is what is kept, torch's what is replaced",
            "BatchNorm(..., momentum={keras})"),
        Cause("batchnorm-variance", "moving variance of BatchNorm",
            "the moving variance is n/(n-1) times Keras's part: torch keeps the unbiased one",
            "divide by n/(n-1) in a subclass; of no effect for large batches"),
        Cause("dropout-rate", "rate of dropout", "the rates that both sides drop with were counted",
            "p={keras}: both take the share that is dropped"),
        Cause("mode-train-forgotten", "evaluation behaviour in training",
            "a module was in evaluation mode during a training step", "module.train() before training"),
        Cause("frozen-weights", "frozen weights", "a weight is trained on one side alone"),
        # --- loss and gradient ---
        Cause("loss-reduction", "reduction of the loss", "the losses differ by a number of rows or elements"),
        Cause("label-shape", "shape of the labels", "the loss with labels in the output's shape is Keras's",
            "y.reshape(output.shape): else each output meets each label"),
        Cause("label-encoding", "encoding of the labels", "the loss with labels encoded otherwise is Keras's"),
        Cause("regularizer", "regulariser",
            "Keras's loss holds a part from regularisers, and the rest is the port's loss",
            "add the penalty to the loss (weight_decay of Adam is another)"),
        Cause("padding-idx", "padding_idx", "the gradient of one row of the Embedding alone differs",
            "Embedding without padding_idx, unless Keras masks that id"),
        # --- update ---
        Cause("optimizer-kind", "optimizer", "the two are different algorithms", "use {keras}"),
        Cause("optimizer-epsilon", "epsilon of the optimizer", _FORMULA),
        Cause("optimizer-decay", "decay of the optimizer", _FORMULA),
        Cause("learning-rate", "learning rate", "the rates of the first step differ", "lr={keras}"),
        Cause("schedule-offset", "offset of the schedule", "the rates are the same, some steps later",
            "call scheduler.step() after every step, and start where Keras does"),
        Cause("schedule", "learning-rate schedule", "the rates of ten steps differ", "rates as Keras's: {keras}"),
        Cause("weight-decay-coupled", "coupled weight decay", _FORMULA,
            "AdamW(weight_decay={keras}): Keras decays weights beside the gradient"),
        Cause("weight-decay-value", "weight decay", _FORMULA, "weight_decay={keras}"),
        Cause("clipping-value", "clipping by value", _FORMULA, "clip_grad_value_(parameters, {keras})"),
        Cause("clipping-norm", "clipping by norm", _FORMULA),
        Cause("second-bias", "second bias of a recurrent layer",
            "without the change of torch's second bias the update is Keras's",
            "bias_hh.requires_grad_(False): torch trains two biases where Keras has one"),
        Cause("embedding-gradient", "duplicate rows of an Embedding's gradient",
            "one update by Keras's optimizer, with the rows summed before, is another",
            "mend Keras on TensorFlow (docs/mend-a-port.md, embedding-gradient); here its rows are summed"),
        # --- data ---
        Cause("data-order", "order of the rows", "the rows of two epochs were compared",
            "DataLoader(..., shuffle={keras})"),
        Cause("last-partial-batch", "last partial batch", "the sizes of the batches were compared"),
        # --- before training ---
        Cause("initialisers", "initial weights",
            "the variance of the fresh weights is not that of Keras's initialiser"),
        Cause("unknown", "unknown", "no known cause explains it", "compare the two layers' settings"),
    )
}  # fmt: skip
"""Causes by slug, in the order of the stages that tell them."""


@dataclass(frozen=True)
class Told:
    """A cause as it was observed: what each side has, in words, and what the remedy is filled with.

    `line` and `layer` (of Keras) are where it is, if that is elsewhere than where it was seen.
    """

    slug: str
    keras: str
    torch: str
    wanted: str = ""
    line: str | None = None
    layer: str = ""

    @property
    def remedy(self) -> str:
        """Return what mends the port."""
        return CAUSES[self.slug].torch.format(keras=self.wanted or self.keras)


@dataclass(frozen=True)
class Finding:
    """A difference that was observed, where, and its cause; `error` is relative to Keras's largest value."""

    stage: str
    layer: str
    torch: str
    told: Told
    error: float
    line: str | None = None
    code: str | None = None

    @property
    def cause(self) -> str:
        """Return the cause's slug."""
        return self.told.slug
