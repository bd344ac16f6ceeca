"""Every pair: the two sides, a batch, the cause that is planted in its port (none in a clean one) and its line."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
KERAS, TORCH = HERE / "keras_side.py", HERE / "torch_side.py"


@dataclass(frozen=True)
class Pair:
    """Two functions or classes of the two files, how each is trained, and what `bench port` has to say of them.

    `x`, `y`: kinds of inputs and, where it is trained, of labels (`batch`). `cause`: the planted one. `later`: what
    differs as soon as each side trains by its own defaults, which is none of the port's faults.
    """

    keras: str
    torch: str
    x: str
    y: str = "binary"
    compiled: str = ""
    step: str = ""
    cause: str = ""
    later: tuple[str, ...] = ("initialisers",)

    @property
    def name(self) -> str:
        """Return what tests call it."""
        return "-".join(filter(None, (self.torch, self.step)))

    @property
    def recipes(self) -> bool:
        """Return whether both sides say how they are trained."""
        return bool(self.compiled)

    def planted_lines(self) -> set[int]:
        """Return the numbers of the lines of `torch_side.py` that hold the fault."""
        lines = TORCH.read_text(encoding="utf-8").splitlines()
        spans = [_spans()[name] for name in (self.torch, self.step) if name]
        return {n for start, end in spans for n in range(start, end + 1) if lines[n - 1].endswith("# planted")}


@cache
def _spans() -> dict[str, tuple[int, int]]:
    tree = ast.parse(TORCH.read_text(encoding="utf-8"))
    kinds = (ast.ClassDef, ast.FunctionDef)
    return {node.name: (node.lineno, node.end_lineno or 0) for node in tree.body if isinstance(node, kinds)}


def batch(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and labels of eight rows, always the same.

    Ids (8, 10) or (8, 16) are below 50; those for masks end in zeros. Floats are (8, 6), (8, time, 4) or (8, 10, 8);
    pictures (8, 12, 12, 3).
    """
    rng = np.random.default_rng(7)
    match pair.x:
        case "ids" | "ids-16":
            x = rng.integers(1, 50, (8, 16 if pair.x == "ids-16" else 10))
        case "ids-padded":
            x = rng.integers(1, 50, (8, 10))
            x[np.arange(10) >= rng.integers(3, 10, (8, 1))] = 0
        case "ids-zeros":
            x = rng.integers(0, 3, (8, 10))
        case "rows":
            x = rng.normal(size=(8, 6)).astype("float32")
        case "sequences" | "sequences-16":
            x = rng.normal(size=(8, 16 if pair.x == "sequences-16" else 10, 4)).astype("float32")
        case "features":
            x = rng.normal(size=(8, 10, 8)).astype("float32")
        case "pictures":
            x = rng.normal(size=(8, 12, 12, 3)).astype("float32")
        case other:
            raise ValueError(other)
    match pair.y:
        case "binary":
            y = np.tile([[0.0], [1.0]], (4, 1)).astype("float32")
        case "real":
            y = rng.normal(size=8).astype("float32")
        case "classes":
            y = np.arange(8) % 3
        case "onehot":
            y = np.eye(3, dtype="float32")[np.arange(8) % 3]
        case other:
            raise ValueError(other)
    return x, y


BIASES = ("initialisers", "second-bias")
VARIANCE = ("batchnorm-variance", "initialisers")

CLEAN = (
    # Outputs and gradients alone.
    Pair("mlp", "MLP", "rows"),
    Pair("mlp", "MLPInitialised", "rows", later=()),
    Pair("mlp", "mlp_sequential", "rows"),
    Pair("leaky", "Leaky", "rows"),
    Pair("gelu", "Gelu", "rows"),
    Pair("elu_selu", "EluSelu", "rows"),
    Pair("dropout_mlp", "DropoutMLP", "rows"),
    Pair("layernorm_mlp", "LayerNormMLP", "rows"),
    Pair("residual", "Residual", "rows"),
    Pair("two_towers", "TwoTowers", "rows"),
    Pair("nested", "Nested", "rows"),
    Pair("cnn", "CNN", "pictures"),
    Pair("cnn_global", "CNNGlobal", "pictures", later=VARIANCE),
    Pair("strided", "Strided", "pictures"),
    Pair("even_kernel", "EvenKernel", "sequences-16"),
    Pair("conv_text", "ConvText", "ids-16"),
    Pair("conv_flatten", "ConvFlatten", "sequences-16"),
    Pair("dilated", "Dilated", "sequences-16"),
    Pair("conv_lstm_bn", "ConvLSTM", "sequences-16", later=("batchnorm-variance", *BIASES)),
    Pair("conv_bn_relu", "ConvBNRelu", "sequences-16", later=VARIANCE),
    Pair("average_pool", "AveragePool", "sequences-16"),
    Pair("average_pool_2d", "AveragePool2d", "pictures"),
    Pair("embedding_lstm", "EmbeddingLSTM", "ids", later=BIASES),
    Pair("masked_lstm", "MaskedLSTM", "ids-padded", later=BIASES),
    Pair("masked_average", "MaskedAverage", "ids-padded"),
    Pair("frozen_embedding", "FrozenEmbedding", "ids"),
    Pair("stacked_lstm", "StackedLSTM", "sequences", later=BIASES),
    Pair("stacked_lstm", "StackedLSTMSeparate", "sequences", later=BIASES),
    Pair("lstm", "LSTM", "sequences", later=BIASES),
    Pair("lstm_backwards", "LSTMFlipped", "sequences", later=BIASES),
    Pair("bilstm", "BiLSTM", "ids", later=BIASES),
    Pair("bigru_stacked", "BiGRUStacked", "sequences"),
    Pair("gru", "GRU", "sequences"),
    Pair("simple_rnn", "SimpleRNN", "sequences", later=BIASES),
    Pair("birnn_relu", "BiRNNRelu", "sequences", later=BIASES),
    Pair("tagger", "Tagger", "ids", later=BIASES),
    Pair("attention_block", "AttentionBlock", "features"),
    # Trained by recipes.
    Pair("mlp", "MLP", "rows", compiled="adam", step="adam"),
    Pair("mlp", "MLP", "rows", compiled="adamw", step="adamw"),
    Pair("mlp", "MLP", "rows", compiled="rmsprop", step="rmsprop"),
    Pair("mlp", "MLP", "rows", compiled="sgd", step="sgd"),
    Pair("mlp", "MLP", "rows", compiled="momentum", step="momentum"),
    Pair("mlp", "MLP", "rows", compiled="sgd_weight_decay", step="sgd_weight_decay"),
    Pair("mlp", "MLP", "rows", compiled="exponential", step="exponential"),
    Pair("mlp", "MLP", "rows", compiled="piecewise", step="piecewise"),
    Pair("mlp", "MLP", "rows", compiled="cosine", step="cosine"),
    Pair("mlp", "MLP", "rows", compiled="fit_shuffled", step="loader"),
    Pair("mlp", "MLP", "rows", compiled="fit_in_order", step="loader_in_order"),
    Pair("mlp", "MLPLogits", "rows", compiled="sgd", step="sgd_logits"),
    Pair("classifier", "Classifier", "rows", "classes", "sgd_classes", "sgd_classes"),
    Pair("classifier", "ClassifierSoftmax", "rows", "classes", "sgd_classes", "sgd_log_softmax"),
    Pair("classifier", "Classifier", "rows", "onehot", "sgd_onehot", "sgd_onehot"),
    Pair("classifier_logits", "Classifier", "rows", "classes", "sgd_logits", "sgd_classes"),
    Pair("regression", "Regression", "rows", "real", "sgd_mse", "sgd_mse"),
    Pair("penalised", "Regression", "rows", "real", "sgd_mse", "sgd_penalty"),
    Pair("regression", "Regression", "rows", "real", "clip_value", "clip_value"),
    Pair("regression", "Regression", "rows", "real", "clip_global", "clip_global"),
    Pair("batchnorm_mlp", "BatchNormMLP", "rows", compiled="sgd", step="sgd", later=VARIANCE),
    Pair("batchnorm_fast", "BatchNormFast", "rows", compiled="sgd", step="sgd", later=VARIANCE),
    Pair("embedding_lstm", "EmbeddingLSTMOneBias", "ids", compiled="sgd", step="sgd"),
    Pair("embedding_average", "EmbeddingAverage", "ids", compiled="sgd", step="sgd"),
    Pair(
        "embedding_average",
        "EmbeddingAverage",
        "ids",
        "binary",
        "adam",
        "adam",
        later=("embedding-gradient", "initialisers"),
    ),
    Pair("cnn_global", "CNNGlobal", "pictures", "classes", "sgd_classes", "sgd_log_softmax", later=VARIANCE),
)
"""Ports without a fault: whatever `bench port` names here is a false alarm."""

PLANTED = (
    # What the layers compute.
    Pair("mlp", "MLPTanh", "rows", cause="activation"),
    Pair("mlp", "MLPWithoutSecondRelu", "rows", cause="activation"),
    Pair("leaky", "LeakyDefault", "rows", cause="activation"),
    Pair("mlp", "MLPWithoutBias", "rows", cause="bias-missing"),
    Pair("gelu", "GeluTanh", "rows", cause="gelu-approximation"),
    Pair("gelu", "GeluFunctional", "rows", cause="gelu-approximation"),
    Pair("dropout_mlp", "DropoutKeep", "rows", cause="dropout-rate"),
    Pair("dropout_mlp", "DropoutDefault", "rows", cause="dropout-rate"),
    Pair("dropout_mlp", "DropoutMissing", "rows", cause="missing-layer"),
    Pair("dropout_mlp", "DropoutAlways", "rows", cause="mode-eval-forgotten"),
    Pair("layernorm_mlp", "LayerNormEpsilon", "rows", cause="layernorm-epsilon"),
    Pair("layernorm_mlp", "LayerNormUnused", "rows", cause="missing-layer"),
    Pair("residual", "ResidualLateRelu", "rows", cause="nonlinearity-order"),
    Pair("batchnorm_mlp", "BatchNormEpsilon", "rows", cause="batchnorm-epsilon", later=VARIANCE),
    Pair("batchnorm_mlp", "BatchNormBeforeRelu", "rows", cause="nonlinearity-order", later=VARIANCE),
    Pair("batchnorm_twice", "BatchNormTwiceBeforeRelu", "rows", cause="nonlinearity-order", later=VARIANCE),
    Pair("conv_bn_relu", "ConvReluBN", "sequences-16", cause="nonlinearity-order", later=VARIANCE),
    Pair("cnn", "CNNFlatten", "pictures", cause="flatten-order"),
    Pair("cnn", "CNNFlattenModule", "pictures", cause="flatten-order"),
    Pair("conv_flatten", "ConvFlattenView", "sequences-16", cause="flatten-order"),
    Pair("strided", "StridedSymmetric", "pictures", cause="same-padding"),
    Pair("strided_text", "StridedTextSymmetric", "ids-16", cause="same-padding"),
    Pair("even_kernel", "EvenKernelCut", "sequences-16", cause="same-padding"),
    Pair("dilated", "DilationForgotten", "sequences-16", cause="convolution"),
    Pair("conv_text", "ConvTextPool", "ids-16", cause="pooling-size"),
    Pair("conv_text", "ConvTextStride", "ids-16", cause="pooling-size"),
    Pair("average_pool", "AveragePoolPadded", "sequences-16", cause="pooling-padding"),
    Pair("embedding_lstm", "CellState", "ids", cause="last-state", later=BIASES),
    Pair("stacked_lstm", "StackedLSTMFirst", "sequences", cause="last-state", later=BIASES),
    Pair("lstm", "LSTMFirstStep", "sequences", cause="last-state", later=BIASES),
    Pair("bilstm", "BiLSTMLastStep", "ids", cause="last-state", later=BIASES),
    Pair("bilstm", "BiLSTMSwapped", "ids", cause="last-state", later=BIASES),
    Pair("lstm_hard_gates", "LSTMPlain", "sequences", cause="gate-function", later=BIASES),
    Pair("lstm_relu", "LSTMPlain", "sequences", cause="rnn-activation", later=BIASES),
    Pair("lstm_backwards", "LSTMPlain", "sequences", cause="reversed-input", later=BIASES),
    Pair("birnn_relu", "BiRNNTanh", "sequences", cause="rnn-activation", later=BIASES),
    Pair("gru_reset_before", "GRUResetAfter", "sequences", cause="gru-reset-after", later=BIASES),
    Pair("masked_lstm", "MaskForgotten", "ids-padded", cause="mask", later=BIASES),
    Pair("masked_average", "AverageOfPadding", "ids-padded", cause="mask"),
    Pair("embedding_lstm", "EmbeddingLSTMPadding", "ids-zeros", cause="padding-idx", later=BIASES),
    Pair("attention_block", "AttentionPreNorm", "features", cause="unknown"),
    Pair("embedding_average", "EmbeddingFrozen", "ids", cause="frozen-weights"),
    Pair("mlp", "MLPFrozen", "rows", cause="frozen-weights"),
    # Moving statistics, modes, second biases: they show in a step of training.
    Pair("embedding_lstm", "EmbeddingLSTMTwoBiases", "ids", "binary", "sgd", "sgd", "second-bias"),
    Pair("batchnorm_mlp", "BatchNormMomentum", "rows", "binary", "sgd", "sgd", "batchnorm-momentum", VARIANCE),
    Pair("batchnorm_mlp", "BatchNormCopiedMomentum", "rows", "binary", "sgd", "sgd", "batchnorm-momentum", VARIANCE),
    Pair("batchnorm_fast", "BatchNormFastDefault", "rows", "binary", "sgd", "sgd", "batchnorm-momentum", VARIANCE),
    Pair("batchnorm_mlp", "BatchNormEval", "rows", "binary", "sgd", "sgd", "mode-train-forgotten", VARIANCE),
    Pair("batchnorm_mlp", "BatchNormMLP", "rows", "binary", "sgd", "mode_forgotten", "mode-train-forgotten", VARIANCE),
    Pair("dropout_mlp", "DropoutMLP", "rows", "binary", "sgd", "mode_forgotten", "mode-train-forgotten"),
    # The loss.
    Pair("mlp", "MLP", "rows", "binary", "sgd", "sgd_twice_sigmoid", "probabilities-logits"),
    Pair(
        "classifier", "ClassifierSoftmax", "rows", "classes", "sgd_classes", "sgd_twice_softmax", "probabilities-logits"
    ),
    Pair("mlp", "MLP", "rows", "binary", "sgd", "sgd_sum", "loss-reduction"),
    Pair("regression", "Regression", "rows", "real", "sgd_mse", "sgd_mse_sum", "loss-reduction"),
    Pair("regression", "Regression", "rows", "real", "sgd_mse", "sgd_mse_broadcast", "label-shape"),
    Pair("regression", "Regression", "rows", "real", "sgd_mae", "sgd_mae_broadcast", "label-shape"),
    Pair("classifier", "Classifier", "rows", "onehot", "sgd_onehot", "sgd_onehot_shifted", "label-encoding"),
    Pair("mlp", "MLP", "rows", "binary", "sgd", "sgd_flipped", "label-encoding"),
    Pair("penalised", "Regression", "rows", "real", "sgd_mse", "sgd_penalty_forgotten", "regularizer"),
    # The optimizer.
    Pair("mlp", "MLP", "rows", "binary", "adam", "adam_default", "optimizer-epsilon"),
    Pair("mlp", "MLP", "rows", "binary", "adam", "adam_epsilon", "optimizer-epsilon"),
    Pair("classifier", "Classifier", "rows", "classes", "adam_classes", "adam_classes_default", "optimizer-epsilon"),
    Pair("mlp", "MLP", "rows", "binary", "rmsprop", "rmsprop_epsilon", "optimizer-epsilon"),
    Pair("mlp", "MLP", "rows", "binary", "adam", "adam_beta", "optimizer-decay"),
    Pair("mlp", "MLP", "rows", "binary", "rmsprop", "rmsprop_rho", "optimizer-decay"),
    Pair("mlp", "MLP", "rows", "binary", "momentum", "momentum_decay", "optimizer-decay"),
    Pair("mlp", "MLP", "rows", "binary", "sgd", "sgd_as_adam", "optimizer-kind"),
    Pair("mlp", "MLP", "rows", "binary", "adamw", "adamw_coupled", "weight-decay-coupled"),
    Pair("mlp", "MLP", "rows", "binary", "adamw_default", "adamw_decay", "weight-decay-value"),
    Pair("mlp", "MLP", "rows", "binary", "sgd_default", "sgd_rate", "learning-rate"),
    Pair("regression", "Regression", "rows", "real", "clip_value", "clip_value_wide", "clipping-value"),
    Pair("regression", "Regression", "rows", "real", "clip_value", "clip_value_missing", "clipping-value"),
    Pair("regression", "Regression", "rows", "real", "clip_each", "clip_each_as_global", "clipping-norm"),
    Pair("mlp", "MLP", "rows", "binary", "exponential", "exponential_late", "schedule-offset"),
    Pair("mlp", "MLP", "rows", "binary", "piecewise", "piecewise_early", "schedule-offset"),
    Pair("mlp", "MLP", "rows", "binary", "exponential", "exponential_rate", "schedule"),
    Pair("mlp", "MLP", "rows", "binary", "exponential", "exponential_missing", "schedule"),
    Pair("embedding_average", "EmbeddingAverage", "ids", "binary", "adam_decaying", "adam_constant", "schedule"),
    # The data.
    Pair("mlp", "MLP", "rows", "binary", "fit_shuffled", "loader_unshuffled", "data-order"),
    Pair("mlp", "MLP", "rows", "binary", "fit_shuffled", "loader_drops", "last-partial-batch"),
)
"""Ports with one fault."""
