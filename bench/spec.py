"""What a suite is made of: layers, data, training protocol, documented figures.

All objects are frozen and validated when they are made; nothing here computes, loads or trains. A case reads like
the line of the document it comes from::

    Case(
        "lstm",
        data=Imdb(num_words=5000, maxlen=400, train=5000, test=2000),
        layers=(Embedding(5000, 32), LSTM(100), Dense(1, "sigmoid")),
        training=Training("adam", epochs=100, validation=LastFraction(0.25), early_stopping=EarlyStopping(patience=1)),
    )
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

_CONFIG = ConfigDict(extra="forbid")

Count = Annotated[int, Field(gt=0)]
"""A number of things, at least one."""
Rate = Annotated[float, Field(ge=0, lt=1)]
"""The share of values that dropout zeroes."""
Fraction = Annotated[float, Field(gt=0, lt=1)]
"""A share of the rows."""
Positive = Annotated[float, Field(gt=0)]
"""A number above zero."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
"""Lower-case words joined by hyphens: `lstm-16`."""

Activation = Literal["linear", "relu", "tanh", "sigmoid", "gelu", "softmax"]
"""The function that ends a layer, in Keras's words: `"linear"` changes nothing, `"gelu"` is the exact one (by erf),
`"softmax"` is over the last axis.
"""
Padding = Literal["valid", "same"]
"""Whether windows lie within the steps, or as many zeros are put at both ends as give ⌈steps / stride⌉ windows.

An odd zero is put behind. A maximum or a mean over a window leaves the zeros out.
"""
Gates = Literal["sigmoid", "hard_sigmoid", "hard_sigmoid_keras2"]
"""Gate functions: 1/(1+exp(-x)); Keras 3's relu6(x+3)/6; Keras 2's clip(0.2x+0.5, 0, 1) (docs/keras-versions.md)."""

End = Literal["pre", "post"]
"""The end at which a row is padded or truncated, in Keras's words."""
Encoding = Literal["ids", "multi-hot"]
"""Word ids in the order of the text, or a 0 or 1 for each word of the vocabulary."""
Kernel = Literal["fused", "generic", "none"]
"""How a recurrent layer is computed: by the framework's fused layer, or step by step; `"none"` without such a layer."""
Device = Literal["cpu", "cuda"]
"""Where a cell trains."""


# --- vectors -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class Glove:
    """GloVe 6B vectors (Pennington, Socher, Manning 2014).

    `dimension`: components of a vector.
    """

    dimension: Literal[50, 100, 200, 300]


@dataclass(frozen=True, config=_CONFIG)
class Word2Vec:
    """GoogleNews word2vec vectors (Mikolov and others 2013) of 300 dimensions.

    `offset`: the vector of the word of rank r fills row r + offset of the table.
    """

    offset: Annotated[int, Field(ge=0)] = 0

    @property
    def dimension(self) -> int:
        """Return the number of components of a vector."""
        return 300


Vectors = Glove | Word2Vec
"""Pre-trained word vectors."""


# --- layers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class Embedding:
    """A table of word vectors; each word id picks its row.

    `input_dim`: rows, one more than the largest id. `output_dim`: components of a vector. `vectors`: pre-trained
    vectors to fill the table with. `trainable`: False freezes the table. `mask_zero`: the layers above skip id 0.
    """

    input_dim: Count
    output_dim: Count
    vectors: Vectors | None = None
    trainable: bool = True
    mask_zero: bool = False

    @model_validator(mode="after")
    def _dimensions_agree(self) -> Embedding:
        if self.vectors is not None and self.vectors.dimension != self.output_dim:
            raise ValueError(
                f"output_dim is {self.output_dim} but the vectors have {self.vectors.dimension} dimensions; "
                "make them equal"
            )
        return self


@dataclass(frozen=True, config=_CONFIG)
class Flatten:
    """The steps of a row joined: (batch, time, features) to (batch, time * features)."""


@dataclass(frozen=True, config=_CONFIG)
class GlobalAveragePooling1D:
    """The mean over time; masked steps do not count."""


@dataclass(frozen=True, config=_CONFIG)
class GlobalMaxPooling1D:
    """The maximum over time."""


@dataclass(frozen=True, config=_CONFIG)
class _Pooling1D:
    """What poolings of windows share, which end a mask.

    `pool_size`: steps of a window. `strides`: steps from one window to the next; None takes `pool_size`. `padding`: of
    the ends of a sequence.
    """

    pool_size: Count = 2
    strides: Count | None = None
    padding: Padding = "valid"


@dataclass(frozen=True, config=_CONFIG)
class MaxPooling1D(_Pooling1D):
    """The maximum of every window of steps."""


@dataclass(frozen=True, config=_CONFIG)
class AveragePooling1D(_Pooling1D):
    """The mean of every window of steps."""


@dataclass(frozen=True, config=_CONFIG)
class Conv1D:
    """A convolution over time, which ends a mask.

    `filters`: output features. `kernel_size`: steps that one output sees. `activation`: applied to the output.
    `strides`: steps from one output to the next. `padding`: of the ends of a sequence.
    """

    filters: Count
    kernel_size: Count
    activation: Activation = "linear"
    strides: Count = 1
    padding: Padding = "valid"


@dataclass(frozen=True, config=_CONFIG)
class Dense:
    """An affine map of the last axis.

    `units`: output features. `activation`: applied to the output. `use_bias`: False leaves the affine part out.
    """

    units: Count
    activation: Activation = "linear"
    use_bias: bool = True


@dataclass(frozen=True, config=_CONFIG)
class ActivationLayer:
    """An activation as a separate layer (Keras's `Activation`).

    `activation`: the function.
    """

    activation: Activation


@dataclass(frozen=True, config=_CONFIG)
class Dropout:
    """Random zeros while training; the other values are scaled by 1/(1-rate).

    `rate`: the share of zeros.
    """

    rate: Rate


@dataclass(frozen=True, config=_CONFIG)
class SpatialDropout1D:
    """Dropout of whole features, the same ones at every step of a row.

    `rate`: the share of zeros.
    """

    rate: Rate


@dataclass(frozen=True, config=_CONFIG)
class BatchNormalization:
    """Each feature less its mean, over its standard deviation, scaled and shifted by two trained weights.

    Training takes the moments of the batch, without masked steps; evaluation moving averages of them. `momentum`: the
    share of a moving average that a training step keeps. `epsilon`: added to the variance.
    """

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    epsilon: Annotated[float, Field(gt=0)] = 1e-3


@dataclass(frozen=True, config=_CONFIG)
class LayerNormalization:
    """Each step less the mean of its features, over their standard deviation, scaled and shifted by trained weights.

    `epsilon`: added to the variance.
    """

    epsilon: Annotated[float, Field(gt=0)] = 1e-3


@dataclass(frozen=True, config=_CONFIG)
class _Recurrent:
    """What recurrent layers share.

    `units`: length of the state. `return_sequences`: return the state after every step, not the last alone. `dropout`:
    share of the inputs that is zeroed, the same ones at every step. `recurrent_dropout`: that of the state.
    """

    units: Count
    return_sequences: bool = False
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0


@dataclass(frozen=True, config=_CONFIG)
class SimpleRNN(_Recurrent):
    """Keras's `SimpleRNN`: h = tanh(x W + h U + b)."""


@dataclass(frozen=True, config=_CONFIG)
class LSTM(_Recurrent):
    """Keras's `LSTM`.

    `recurrent_activation`: function of the gates; None takes the default of the suite's Keras.
    """

    recurrent_activation: Gates | None = None


@dataclass(frozen=True, config=_CONFIG)
class GRU(_Recurrent):
    """Keras's `GRU`.

    `recurrent_activation`: function of the gates; None takes the default of the suite's Keras. `reset_after`: apply the
    reset gate after the product with the recurrent kernel; False was the default of standalone Keras, up to 2.3.
    """

    recurrent_activation: Gates | None = None
    reset_after: bool = True


Recurrent = SimpleRNN | LSTM | GRU
"""A recurrent layer."""


@dataclass(frozen=True, config=_CONFIG)
class Bidirectional:
    """A recurrent layer in both directions; their outputs are concatenated, forward first.

    `layer`: the layer that each direction has.
    """

    layer: Recurrent


Layer = (
    Embedding
    | Flatten
    | GlobalAveragePooling1D
    | GlobalMaxPooling1D
    | Conv1D
    | Dense
    | ActivationLayer
    | Dropout
    | SpatialDropout1D
    | BatchNormalization
    | LayerNormalization
    | MaxPooling1D
    | AveragePooling1D
    | Recurrent
    | Bidirectional
)
"""A layer of a network."""


# --- data --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class _Rows:
    """What the rows of a text data set share.

    `num_words`: the most frequent words that are kept. `maxlen`: length that rows are padded or truncated to.
    `padding`: the end that is filled with zeros. `truncating`: the end that is cut. `encoding`: what a row holds.
    """

    num_words: Count
    maxlen: Count | None = None
    padding: End = "pre"
    truncating: End = "pre"


@dataclass(frozen=True, config=_CONFIG)
class Imdb(_Rows):
    """Keras's IMDB reviews (`imdb.npz`): 25,000 to train on and 25,000 to test on.

    `train`: the first rows that are trained on; None takes all. `test`: the first rows that are tested on; None takes
    all.
    """

    train: Count | None = None
    test: Count | None = None
    encoding: Encoding = "ids"


@dataclass(frozen=True, config=_CONFIG)
class ReviewTexts(_Rows):
    """The aclImdb review texts, tokenised by a Keras `Tokenizer(num_words)` fitted on the 25,000 training texts."""

    encoding: Encoding = "ids"


@dataclass(frozen=True, config=_CONFIG)
class LabelledCsv:
    """A CSV file of `label,"text"` lines under a header, split by scikit-learn; the training part fits the tokeniser.

    Quotes stay part of a text, as document 003 reads them: `TextCsv` reads a CSV file of yours. `file`: its name in the
    data folder. `num_words`: the most frequent words that are kept. `maxlen`: length that rows
    are padded or truncated to. `filters`: characters that the tokeniser takes for spaces. `remove`: characters deleted
    before that. `validation`: stratified share of the rows to validate on. `split_seed`: random state of the split.
    `padding`: the end that is filled with zeros. `truncating`: the end that is cut. `encoding`: what a row holds.
    """

    file: str
    num_words: Count
    maxlen: Count
    filters: str
    remove: str = ""
    validation: Fraction = 0.1
    split_seed: int = 42
    padding: End = "pre"
    truncating: End = "pre"
    encoding: Literal["ids"] = "ids"


def _check_file(file: str, endings: tuple[str, ...]) -> None:
    if not file.endswith(endings):
        raise ValueError(f"file is {file!r}; it must end in {' or '.join(endings)}")


def _check_shares(validation: object, test: object) -> None:
    shares = [share for share in (validation, test) if isinstance(share, float)]
    if sum(shares) >= 1:
        raise ValueError(
            f"validation and test are {' and '.join(map(str, shares))} of the rows; leave some to train on"
        )


@dataclass(frozen=True, config=_CONFIG)
class TextCsv:
    """Texts and labels in named columns of a CSV or Parquet file of yours; the training part fits the tokeniser.

    `file`: its name in the data folder, or a path; `.csv` and `.csv.gz` are UTF-8 under a header, `.parquet` needs
    pyarrow. `num_words`: the most frequent words that are kept. `maxlen`: length that rows are padded or truncated to.
    `text`: column of the texts. `label`: column of the labels, numbers or words. `classes`: labels in the order of
    their classes; empty takes them sorted. `validation`: stratified share of the rows, or another file with the same
    columns. `test`: the same. `split_seed`: random state of the shares. `filters`: characters that the tokeniser takes
    for spaces; None takes those of Keras's. `padding`: the end that is filled with zeros. `truncating`: the end that is
    cut. `encoding`: what a row holds.
    """

    file: str
    num_words: Count
    maxlen: Count | None = None
    text: str = "text"
    label: str = "label"
    classes: tuple[str | int, ...] = ()
    validation: Fraction | str | None = None
    test: Fraction | str | None = None
    split_seed: int = 42
    filters: str | None = None
    padding: End = "pre"
    truncating: End = "pre"
    encoding: Encoding = "ids"

    @model_validator(mode="after")
    def _is_a_table(self) -> TextCsv:
        for file in (self.file, self.validation, self.test):
            if isinstance(file, str):
                _check_file(file, (".csv", ".csv.gz", ".parquet"))
        _check_shares(self.validation, self.test)
        twice = [str(label) for label, times in Counter(map(str, self.classes)).items() if times > 1]
        if twice or len(self.classes) == 1:
            what = f"names {', '.join(twice)} twice" if twice else "names one label"
            raise ValueError(f"classes {what}; name every label once, or none to take them sorted")
        return self


@dataclass(frozen=True, config=_CONFIG)
class Arrays:
    """Arrays of yours, in an `.npz` file, or columns of a Parquet file: ids, or numbers that need no Embedding.

    `file`: its name in the data folder, or a path. `x`: array or column of the rows; several columns are a feature
    each. `y`: that of the labels, 0 to one less than the classes. `shape`: of a row of numbers, (time, features) or
    (features,); None where rows are ids. `num_words`: ids are below it. `maxlen`: ids of a row; lists of ids in Parquet
    are padded or truncated to it. `validation`: stratified share of the rows, the names of the arrays (x, y), or
    another Parquet file. `test`: the same. `split_seed`: random state of the shares. `padding`: the end of a list that
    is filled with zeros. `truncating`: the end that is cut.
    """

    file: str
    x: str | tuple[str, ...] = "x"
    y: str = "y"
    shape: tuple[Count, ...] | None = None
    num_words: Count | None = None
    maxlen: Count | None = None
    validation: Fraction | tuple[str, str] | str | None = None
    test: Fraction | tuple[str, str] | str | None = None
    split_seed: int = 42
    padding: End = "pre"
    truncating: End = "pre"

    @property
    def encoding(self) -> Literal["ids", "features"]:
        """Return what a row holds."""
        return "ids" if self.shape is None else "features"

    @model_validator(mode="after")
    def _rows_are_described(self) -> Arrays:
        if (self.shape is None) == (self.num_words is None) or (self.num_words is None) != (self.maxlen is None):
            raise ValueError("give num_words and maxlen where rows are ids, or else shape where they are numbers")
        if self.shape is not None and len(self.shape) not in (1, 2):
            raise ValueError(f"shape is {self.shape}; a row is (features,) or (time, features)")
        if isinstance(self.x, tuple) and self.shape != (len(self.x),):
            raise ValueError(f"x names {len(self.x)} columns, a feature each; give shape=({len(self.x)},)")
        return self

    @model_validator(mode="after")
    def _parts_are_of_the_file(self) -> Arrays:
        _check_file(self.file, (".npz", ".parquet"))
        _check_shares(self.validation, self.test)
        in_npz = self.file.endswith(".npz")
        if in_npz and isinstance(self.x, tuple):
            raise ValueError("x names several columns, but an .npz file holds arrays; name one")
        for part in (self.validation, self.test):
            if in_npz and isinstance(part, str):
                raise ValueError(f"{part!r} names no part of an .npz file; name its two arrays, or give a share")
            if not in_npz and isinstance(part, tuple):
                raise ValueError(f"{part} names no part of a Parquet file; name another file, or give a share")
            if isinstance(part, str):
                _check_file(part, (".parquet",))
        return self


@dataclass(frozen=True, config=_CONFIG)
class Embedded(_Rows):
    """The generated corpus of the quick profile, which needs no download.

    Its results never stand beside documented figures. `train`: rows to train on. `validation`: rows to validate on.
    `test`: rows to test on. `classes`: how many labels there are.
    """

    train: Count = 2000
    validation: Annotated[int, Field(ge=0)] = 0
    test: Annotated[int, Field(ge=0)] = 1000
    encoding: Encoding = "ids"
    classes: Annotated[int, Field(ge=2)] = 2


@dataclass(frozen=True, config=_CONFIG)
class EmbeddedFeatures:
    """Generated numbers, which stand for `Arrays` of numbers in the quick profile.

    Its results never stand beside documented figures. `shape`: of a row, (time, features) or (features,). `train`: rows
    to train on. `validation`: rows to validate on. `test`: rows to test on. `classes`: how many labels there are.
    """

    shape: tuple[Count, ...]
    train: Count = 2000
    validation: Annotated[int, Field(ge=0)] = 0
    test: Annotated[int, Field(ge=0)] = 1000
    classes: Annotated[int, Field(ge=2)] = 2

    @property
    def encoding(self) -> Literal["features"]:
        """Return what a row holds."""
        return "features"


Data = Imdb | ReviewTexts | LabelledCsv | TextCsv | Arrays | Embedded | EmbeddedFeatures
"""What a case is trained and scored on."""


def parts(data: Data) -> tuple[str, ...]:
    """Return the parts that data comes in: `train`, and which it has of `validation` and `test`."""
    match data:
        case Imdb() | ReviewTexts():
            return "train", "test"
        case LabelledCsv():
            return "train", "validation"
        case _:
            return "train", *(part for part in ("validation", "test") if getattr(data, part))


# --- training protocol -------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class LastFraction:
    """Keras's `validation_split`: the last rows, before any shuffling.

    `fraction`: their share.
    """

    fraction: Fraction


@dataclass(frozen=True, config=_CONFIG)
class FirstRows:
    """The first rows are validated on, the others trained on.

    `rows`: how many are validated on.
    """

    rows: Count


@dataclass(frozen=True, config=_CONFIG)
class RandomRows:
    """A random choice of the rows, drawn from the seed.

    `train`: rows to train on. `validation`: rows to validate on.
    """

    train: Count
    validation: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, config=_CONFIG)
class TestSet:
    """The test rows are validated on, after every epoch, and all training rows trained on."""

    __test__ = False  # pytest takes a class of this name for tests


Validation = LastFraction | FirstRows | RandomRows | TestSet
"""Which rows are validated on."""
Monitor = Literal["val_loss", "val_accuracy"]
"""The validation figure that decides."""


@dataclass(frozen=True, config=_CONFIG)
class EarlyStopping:
    """Keras's `EarlyStopping`, without restoring the best weights.

    `patience`: epochs without improvement after which training stops (one more in Keras 2.0.8). `monitor`: the figure
    that has to improve.
    """

    patience: Annotated[int, Field(ge=0)]
    monitor: Monitor = "val_loss"


@dataclass(frozen=True, config=_CONFIG)
class SGD:
    """Keras's `SGD`: w -= rate g; with momentum m = momentum m - rate g and w += m.

    `momentum`: the share of the last change that is made again. `nesterov`: w += momentum m - rate g instead.
    """

    momentum: Rate = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> SGD:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True needs a momentum; give one, as in SGD(0.9, nesterov=True)")
        return self


@dataclass(frozen=True, config=_CONFIG)
class AdamW:
    """Keras's `AdamW` (since 2.11): Adam, before whose step every weight w loses rate * weight_decay * w.

    `weight_decay`: Keras's default.
    """

    weight_decay: Annotated[float, Field(ge=0)] = 0.004


Optimizer = Literal["adam", "rmsprop"] | SGD | AdamW
"""An optimizer; `"adam"` and `"rmsprop"` have nothing to declare beside the rate."""


@dataclass(frozen=True, config=_CONFIG)
class ExponentialDecay:
    """Keras's `ExponentialDecay`: step t (from 0) has the rate initial_learning_rate * decay_rate^(t / decay_steps).

    `initial_learning_rate`: the rate of the first step. `decay_steps`: optimizer steps, not epochs. `decay_rate`: what
    the rate is multiplied by in so many steps. `staircase`: only at their end, by rounding t / decay_steps down.
    """

    initial_learning_rate: Positive
    decay_steps: Count
    decay_rate: Positive
    staircase: bool = False


@dataclass(frozen=True, config=_CONFIG)
class CosineDecay:
    """Keras's `CosineDecay`: half a cosine from the initial rate down to alpha times it, where the rate then stays.

    `initial_learning_rate`: the rate of the first step. `decay_steps`: optimizer steps until the end. `alpha`: the
    share of the rate that is left.
    """

    initial_learning_rate: Positive
    decay_steps: Count
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.0


@dataclass(frozen=True, config=_CONFIG)
class PiecewiseConstantDecay:
    """Keras's `PiecewiseConstantDecay`: one rate after another.

    `boundaries`: the last steps (from 0) of all rates but the last: step t has the first rate whose boundary b has
    t <= b. `values`: the rates, one more.
    """

    boundaries: tuple[Count, ...]
    values: tuple[Positive, ...]

    @model_validator(mode="after")
    def _every_rate_has_its_steps(self) -> PiecewiseConstantDecay:
        if not self.boundaries or len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{len(self.boundaries)} boundaries separate {len(self.boundaries) + 1} values, "
                f"got {len(self.values)}; give at least one boundary, and one value more"
            )
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise ValueError(f"boundaries must increase, got {self.boundaries}")
        return self


Schedule = ExponentialDecay | CosineDecay | PiecewiseConstantDecay
"""A learning rate by optimizer step."""


@dataclass(frozen=True, config=_CONFIG)
class Training:
    """How a case is trained: on cross-entropy, shuffled every epoch, the last partial batch kept.

    `optimizer`: with the defaults of Keras since 2.2 (epsilon 1e-7), except for the rate. `epochs`: passes over the
    rows; early stopping may end it. `batch_size`: rows of a step. `learning_rate`: a number or a schedule; Keras's
    default is 0.01 for SGD, else 0.001. `validation`: None keeps the validation set of the data, if it has one.
    `early_stopping`: None trains every epoch. `checkpoint`: score the best weights by this figure too, as a Keras
    `ModelCheckpoint` keeps them. `clipnorm`: the largest norm of a weight's gradient. `clipvalue`: the largest size of
    a gradient's element. `global_clipnorm`: the largest norm of all gradients together.
    """

    optimizer: Optimizer
    epochs: Count
    batch_size: Count = 32
    learning_rate: Positive | Schedule = 0.001
    validation: Validation | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint: Monitor | None = None
    clipnorm: Positive | None = None
    clipvalue: Positive | None = None
    global_clipnorm: Positive | None = None

    @model_validator(mode="before")
    @classmethod
    def _rate_of_sgd(cls, given: ArgsKwargs) -> ArgsKwargs:
        """Return the arguments with Keras's default rate of SGD, which is not that of the other optimizers."""
        named = given.kwargs or {}
        optimizer = given.args[0] if given.args else named.get("optimizer")
        if isinstance(optimizer, SGD) and len(given.args) < 4:
            return ArgsKwargs(given.args, {"learning_rate": 0.01, **named})
        return given

    @model_validator(mode="after")
    def _clips_once(self) -> Training:
        if sum(limit is not None for limit in (self.clipnorm, self.clipvalue, self.global_clipnorm)) > 1:
            raise ValueError("Keras clips gradients once; give one of clipnorm, clipvalue and global_clipnorm")
        return self


# --- documented figures ------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class Score:
    """A printed loss and accuracy.

    `loss`: None where the document prints none. `accuracy`: from 0 to 1; None where the document prints none.
    """

    loss: float | None = None
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None


@dataclass(frozen=True, config=_CONFIG)
class Epoch:
    """One printed line of a training log; a figure is None where the line has none.

    `loss`: training loss. `accuracy`: training accuracy, 0 to 1. `val_loss`: validation loss. `val_accuracy`:
    validation accuracy, 0 to 1. `seconds`: of the epoch, as printed. `step_ms`: milliseconds per step, as printed.
    """

    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float | None = None
    step_ms: float | None = None


@dataclass(frozen=True, config=_CONFIG)
class KernelSteps:
    """Printed milliseconds of a training step of one framework by kernel.

    `framework`: which one. `fused`: with its fused kernel. `generic`: step by step.
    """

    framework: str
    fused: Positive
    generic: Positive


@dataclass(frozen=True, config=_CONFIG)
class Documented:
    """Every figure that a document prints for a case, and no computed one.

    `layers`: parameter counts of the printed summary, line by line; they must be those of the case's layers. `total`:
    parameters in all. `trainable`: those that are trained. `frozen`: those that are not. `epochs`: the lines of the
    training log. `train`: scores on the training rows. `validation`: scores on the validation rows. `test`: scores on
    the test rows. `step_ms`: least and most milliseconds per training step. `evaluate_step_ms`: milliseconds per
    evaluation step. `kernels`: milliseconds per training step by kernel. `unjudged`: why the accuracies cannot be
    judged. `misprint`: how a printed count errs; allows it to differ.
    """

    layers: tuple[int, ...] = ()
    total: int | None = None
    trainable: int | None = None
    frozen: int | None = None
    epochs: tuple[Epoch, ...] = ()
    train: Score | None = None
    validation: Score | None = None
    test: Score | None = None
    step_ms: tuple[float, float] | None = None
    evaluate_step_ms: float | None = None
    kernels: KernelSteps | None = None
    unjudged: str | None = None
    misprint: str | None = None


# --- cases and suites --------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class Requires:
    """What a case needs; it is `unavailable` without it.

    `kernel`: the only one that the case runs. `device`: the only one that it runs on.
    """

    kernel: Kernel
    device: Device


@dataclass(frozen=True, config=_CONFIG)
class Case:
    """One documented configuration.

    `name`: unique in its suite. `data`: what it is trained on. `layers`: the network, ending in one sigmoid, or in a
    softmax over classes.
    `training`: its protocol. `documented`: the figures that the document prints. `notes`: shown below every table that
    holds the case. `assumptions`: which parts the document leaves open, and what was chosen. `requires`: kernel and
    device, where the document insists on them. `representative`: backends under which `bench ab` without patterns
    measures this case. `margin`: relative slowdown that comparisons tolerate (0.05 is 5 %), in place of the machine's.
    """

    name: Name
    data: Data
    layers: tuple[Layer, ...]
    training: Training
    documented: Documented = Documented()
    notes: tuple[str, ...] = ()
    assumptions: str | None = None
    requires: Requires | None = None
    representative: tuple[str, ...] = ()
    margin: Annotated[float, Field(gt=0)] | None = None

    @property
    def output(self) -> Dense | None:
        """Return the Dense that ends the network, with the activation that may be a layer behind it."""
        match self.layers:
            case (*_, Dense() as last):
                return last
            case (*_, Dense(activation="linear") as last, ActivationLayer(activation=activation)):
                return replace(last, activation=activation)
            case _:
                return None

    @property
    def classes(self) -> int | None:
        """Return the number of classes that a softmax tells apart, None where the network ends in a sigmoid."""
        return self.output.units if self.output and self.output.activation == "softmax" else None

    @model_validator(mode="after")
    def _is_classifier(self) -> Case:
        if not self.layers:
            raise ValueError("layers must not be empty; end with Dense(1, 'sigmoid'), or with Dense(n, 'softmax')")
        binary = self.output is not None and (self.output.units, self.output.activation) == (1, "sigmoid")
        if not binary and (self.classes or 0) < 2:
            raise ValueError(
                "layers must end with Dense(1, 'sigmoid') for two classes, or with Dense(n, 'softmax') for n >= 2; the "
                "activation may be an ActivationLayer behind a Dense without one. "
                f"They end with {', '.join(map(str, self.layers[-2:]))}"
            )
        return self

    @model_validator(mode="after")
    def _input_fits(self) -> Case:
        first = self.layers[0]
        if isinstance(self.data, Arrays | EmbeddedFeatures) and self.data.shape is not None:
            if isinstance(first, Embedding):
                raise ValueError(
                    "layers start with an Embedding but the data is numbers, not ids; start with another layer, or "
                    "give num_words and maxlen instead of shape"
                )
            over_time = (
                Recurrent
                | Bidirectional
                | Conv1D
                | MaxPooling1D
                | AveragePooling1D
                | SpatialDropout1D
                | GlobalAveragePooling1D
                | GlobalMaxPooling1D
            )
            if isinstance(first, over_time) and len(self.data.shape) != 2:
                raise ValueError(
                    f"layers start with {type(first).__name__}, which needs rows of (time, features), but the data's "
                    f"are {self.data.shape}; give shape=(time, features), or start with a Dense"
                )
        if self.data.encoding == "multi-hot" and isinstance(first, Embedding):
            raise ValueError(
                "layers start with an Embedding but the data is multi-hot; use encoding='ids' and a maxlen"
            )
        if self.data.encoding == "ids":
            if not isinstance(first, Embedding):
                raise ValueError(
                    "layers must start with an Embedding when the data is ids (or use encoding='multi-hot')"
                )
            if self.data.maxlen is None:
                raise ValueError("data.maxlen is needed when the data is ids")
            if self.data.num_words is not None and first.input_dim < self.data.num_words:
                raise ValueError(
                    f"Embedding.input_dim is {first.input_dim} but ids go up to {self.data.num_words - 1}; "
                    f"use at least {self.data.num_words}"
                )
        if any(isinstance(layer, Embedding) for layer in self.layers[1:]):
            raise ValueError("an Embedding can only be the first layer")
        return self

    @model_validator(mode="after")
    def _monitors_what_there_is(self) -> Case:
        training, validation = self.training, self.training.validation
        brought = "validation" in parts(self.data)
        if isinstance(validation, TestSet) and "test" not in parts(self.data):
            raise ValueError(
                f"training has validation=TestSet() but {type(self.data).__name__} data has no test rows; "
                "name other rows, as in validation=LastFraction(0.2)"
            )
        drawn = not isinstance(validation, RandomRows) or validation.validation > 0
        if (training.early_stopping or training.checkpoint) and not (brought if validation is None else drawn):
            raise ValueError(
                "training has early_stopping or a checkpoint but no validation set to monitor; "
                "give it one, as in validation=LastFraction(0.2)"
            )
        if isinstance(self.data, TextCsv | Arrays) and validation is None and parts(self.data) == ("train",):
            raise ValueError("data has neither validation nor test, so nothing is scored; give it a share, test=0.2")
        return self


@dataclass(frozen=True, config=_CONFIG)
class KerasEra:
    """Formulas of the Keras that a document ran: `KERAS_2_0`, `KERAS_2_3`, `KERAS_2_11` or `KERAS_3`.

    Sources: docs/keras-versions.md. `keras`: its releases. `gates`: default `recurrent_activation` of LSTM and GRU.
    `rmsprop_epsilon`: RMSprop divides by √v + ε, outside the root, or by √(v + ε), inside. `sums_duplicates`: whether
    duplicate rows of an embedding's gradient are summed before an optimizer squares them; Keras 3 does not on
    TensorFlow, and only `native:embedding-gradient` leaves it so: documented numerics are the same on every backend.
    """

    keras: str
    gates: Gates
    rmsprop_epsilon: Literal["outside", "inside"]
    sums_duplicates: bool = True


KERAS_2_0 = KerasEra("2.0-2.2", gates="hard_sigmoid_keras2", rmsprop_epsilon="outside")
KERAS_2_3 = KerasEra("2.3-2.10", gates="sigmoid", rmsprop_epsilon="outside")
KERAS_2_11 = KerasEra("2.11-2.15", gates="sigmoid", rmsprop_epsilon="inside")
KERAS_3 = KerasEra("3", gates="sigmoid", rmsprop_epsilon="inside", sums_duplicates=False)


@dataclass(frozen=True, config=_CONFIG)
class Suite:
    """The cases of one source document.

    `name`: unique among all suites. `document`: the source, by number or file. `title`: the source in words. `era`: the
    Keras that it ran. `cases`: its configurations. `hardware`: what its printed seconds were measured on. `notes`:
    shown below every table of the suite. `author`: None where the document names none. `year`: None where it says none.
    `link`: to the document, or to what it is based on.
    """

    name: Name
    document: str
    title: str
    era: KerasEra
    cases: tuple[Case, ...]
    hardware: str | None = None
    notes: tuple[str, ...] = ()
    author: str | None = None
    year: int | None = None
    link: str | None = None

    @property
    def citation(self) -> str:
        """Return title, author and year of the document, as far as it says them."""
        return ", ".join(str(part) for part in (self.title, self.author, self.year) if part is not None)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Suite:
        twice = [name for name, times in Counter(case.name for case in self.cases).items() if times > 1]
        if twice:
            raise ValueError(f"case names must be unique, these occur twice: {', '.join(twice)}")
        return self
