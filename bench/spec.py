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
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.dataclasses import dataclass

_CONFIG = ConfigDict(extra="forbid")

Count = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]

Activation = Literal["linear", "relu", "tanh", "sigmoid"]
Gates = Literal["sigmoid", "hard_sigmoid", "hard_sigmoid_keras2"]
"""Gate functions: 1/(1+exp(-x)); Keras 3's relu6(x+3)/6; Keras 2's clip(0.2x+0.5, 0, 1) (semantics of each Keras)."""

End = Literal["pre", "post"]
"""The end of a row at which it is filled up or cut, in Keras's words."""
Encoding = Literal["ids", "multi-hot"]
Kernel = Literal["fused", "generic", "none"]
Device = Literal["cpu", "cuda"]


# --- vectors -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class Glove:
    """GloVe 6B vectors (Pennington, Socher, Manning 2014) of 50, 100, 200 or 300 dimensions."""

    dimension: Literal[50, 100, 200, 300]


@dataclass(frozen=True, config=_CONFIG)
class Word2Vec:
    """GoogleNews word2vec vectors, 300 dimensions; the vector of the word of rank r fills row r + `offset`."""

    offset: Annotated[int, Field(ge=0)] = 0

    @property
    def dimension(self) -> int:
        """Return the number of components of a vector."""
        return 300


Vectors = Glove | Word2Vec


# --- layers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class Embedding:
    """Rows of a (input_dim, output_dim) table picked by ids; `vectors` fills the table, `mask_zero` masks id 0."""

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
    """(batch, time, features) to (batch, time * features)."""


@dataclass(frozen=True, config=_CONFIG)
class GlobalAveragePooling1D:
    """The mean over time; masked steps do not count."""


@dataclass(frozen=True, config=_CONFIG)
class GlobalMaxPooling1D:
    """The maximum over time."""


@dataclass(frozen=True, config=_CONFIG)
class Conv1D:
    """A convolution over time, stride 1, without padding ("valid")."""

    filters: Count
    kernel_size: Count
    activation: Activation = "linear"


@dataclass(frozen=True, config=_CONFIG)
class Dense:
    """An affine map of the last axis, then `activation`."""

    units: Count
    activation: Activation = "linear"


@dataclass(frozen=True, config=_CONFIG)
class ActivationLayer:
    """An activation as a layer of its own (Keras's `Activation`)."""

    activation: Activation


@dataclass(frozen=True, config=_CONFIG)
class Dropout:
    """Zeroes a `rate` of the values while training and scales the rest by 1/(1-rate)."""

    rate: Rate


@dataclass(frozen=True, config=_CONFIG)
class SimpleRNN:
    """Keras's `SimpleRNN`: h = tanh(x W + h U + b)."""

    units: Count
    return_sequences: bool = False
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0


@dataclass(frozen=True, config=_CONFIG)
class LSTM:
    """Keras's `LSTM`; `recurrent_activation` None means the default of the Keras in question."""

    units: Count
    return_sequences: bool = False
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    recurrent_activation: Gates | None = None


@dataclass(frozen=True, config=_CONFIG)
class GRU:
    """Keras's `GRU`; `recurrent_activation` None means the default of the Keras in question."""

    units: Count
    return_sequences: bool = False
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    recurrent_activation: Gates | None = None
    reset_after: bool = True


Recurrent = SimpleRNN | LSTM | GRU


@dataclass(frozen=True, config=_CONFIG)
class Bidirectional:
    """A recurrent layer run both ways; the outputs are concatenated, (forward, backward)."""

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
    | Recurrent
    | Bidirectional
)


# --- data --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class _Rows:
    num_words: Count
    maxlen: Count | None = None
    padding: End = "pre"
    truncating: End = "pre"


@dataclass(frozen=True, config=_CONFIG)
class Imdb(_Rows):
    """Keras's IMDB (`imdb.npz`): the `num_words` most frequent words, padded to `maxlen`, the first rows of each half.

    `encoding="multi-hot"` gives rows of `num_words` zeros and ones, and no padding.
    """

    train: Count | None = None
    test: Count | None = None
    encoding: Encoding = "ids"


@dataclass(frozen=True, config=_CONFIG)
class ReviewTexts(_Rows):
    """The aclImdb review texts through a Keras `Tokenizer(num_words)` fitted on the 25,000 train texts."""

    encoding: Encoding = "ids"


@dataclass(frozen=True, config=_CONFIG)
class LabelledCsv:
    """A CSV file of `label,"text"` lines under a header, split with scikit-learn, tokenised on the training part.

    `remove` lists characters deleted from every text; `validation` is the stratified share (random state `split_seed`).
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


@dataclass(frozen=True, config=_CONFIG)
class Embedded(_Rows):
    """The generated corpus of the quick profile: no network, its results never stand beside documented figures."""

    train: Count = 2000
    validation: Annotated[int, Field(ge=0)] = 0
    test: Annotated[int, Field(ge=0)] = 1000
    encoding: Encoding = "ids"


Data = Imdb | ReviewTexts | LabelledCsv | Embedded


# --- training protocol -------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class LastFraction:
    """Keras's `validation_split`: the last fraction of the rows, before any shuffling."""

    fraction: Fraction


@dataclass(frozen=True, config=_CONFIG)
class FirstRows:
    """The first `rows` rows are the validation set, the rest is trained on."""

    rows: Count


@dataclass(frozen=True, config=_CONFIG)
class RandomRows:
    """Rows shuffled by the seed: the first `train` are trained on, the next `validation` are the validation set."""

    train: Count
    validation: Annotated[int, Field(ge=0)] = 0


Validation = LastFraction | FirstRows | RandomRows
Monitor = Literal["val_loss", "val_accuracy"]


@dataclass(frozen=True, config=_CONFIG)
class EarlyStopping:
    """Keras's `EarlyStopping`: stop once `monitor` has not improved for `patience` epochs; the last weights stay."""

    patience: Annotated[int, Field(ge=0)]
    monitor: Monitor = "val_loss"


@dataclass(frozen=True, config=_CONFIG)
class Training:
    """How a case is trained: binary cross-entropy, reshuffled every epoch, the last partial batch kept.

    `validation` None leaves the validation set that the data itself brings (or none). `checkpoint` names the figure
    by which a `ModelCheckpoint` keeps the best weights beside the last ones. `learning_rate` is Keras's default for
    both optimizers.
    """

    optimizer: Literal["adam", "rmsprop"]
    epochs: Count
    batch_size: Count = 32
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    validation: Validation | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint: Monitor | None = None


# --- documented figures ------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class Score:
    """A printed loss and accuracy (0 to 1); None where the document prints none."""

    loss: float | None = None
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None


@dataclass(frozen=True, config=_CONFIG)
class Epoch:
    """One printed line of a training log; seconds and milliseconds as printed, None where the line has none."""

    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float | None = None
    step_ms: float | None = None


@dataclass(frozen=True, config=_CONFIG)
class Documented:
    """Every figure that a document prints for a case, nothing computed.

    `layers` are the parameter counts of the printed summary, line by line. `step_ms` is the printed range of
    milliseconds per training step, `evaluate_step_ms` that of evaluation. `unjudged` says why the figures may not be
    called held or not. The counts must be those of the case's layers, unless `misprint` says how the document errs.
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
    unjudged: str | None = None
    misprint: str | None = None


# --- cases and suites --------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_CONFIG)
class Requires:
    """What a case insists on: it is `unavailable` on another device, and never runs another kernel."""

    kernel: Kernel
    device: Device


@dataclass(frozen=True, config=_CONFIG)
class Case:
    """One documented configuration: data, architecture, training protocol, documented figures, notes.

    `assumptions` says which parts the document leaves open and this project chose. `representative` names the backends
    under which this case is what a pull request is compared on (`bench ab` without patterns). `margin` is the relative
    slowdown that comparisons let pass for this case (0.05: 5 %), where the machine's is not right for it.
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

    @model_validator(mode="after")
    def _is_binary_classifier(self) -> Case:
        if not self.layers:
            raise ValueError("layers must not be empty; end with Dense(1, 'sigmoid')")
        *_, last = self.layers
        if last != Dense(1, "sigmoid") and self.layers[-2:] != (Dense(1), ActivationLayer("sigmoid")):
            raise ValueError(
                "layers must end with Dense(1, 'sigmoid') or with Dense(1), ActivationLayer('sigmoid'); "
                f"they end with {last}"
            )
        return self

    @model_validator(mode="after")
    def _input_fits(self) -> Case:
        first = self.layers[0]
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
            if first.input_dim < self.data.num_words:
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
        brought = isinstance(self.data, LabelledCsv) or (isinstance(self.data, Embedded) and self.data.validation > 0)
        drawn = not isinstance(validation, RandomRows) or validation.validation > 0
        if (training.early_stopping or training.checkpoint) and not (brought if validation is None else drawn):
            raise ValueError(
                "training has early_stopping or a checkpoint but no validation set to monitor; "
                "give it one, as in validation=LastFraction(0.2)"
            )
        return self


@dataclass(frozen=True, config=_CONFIG)
class KerasEra:
    """The formulas of the Keras that a document ran, where they differ from today's (both sourced in docs/numerics.md).

    `rmsprop_epsilon`: Keras 2 divides by sqrt(v) + eps ("outside" the root), Keras 3 by sqrt(v + eps) ("inside").
    `gates`: the default `recurrent_activation` of LSTM and GRU.
    """

    keras: str
    gates: Gates
    rmsprop_epsilon: Literal["outside", "inside"]


KERAS_2_0 = KerasEra("2.0-2.2", gates="hard_sigmoid_keras2", rmsprop_epsilon="outside")
KERAS_2_3 = KerasEra("2.3-2.10", gates="sigmoid", rmsprop_epsilon="outside")
KERAS_3 = KerasEra("3", gates="sigmoid", rmsprop_epsilon="inside")


@dataclass(frozen=True, config=_CONFIG)
class Suite:
    """The cases of one source document, the Keras it ran, and what its seconds were measured on.

    `author`, `year` and `link` (to itself, or to what it is based on) are what the document says, None where it says
    nothing.
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
