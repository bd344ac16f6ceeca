"""How much of a case is run: `documented` all of it, `quick` every architecture in seconds on the embedded corpus."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from bench.cases.cell import Profile
from bench.cases.model import build_layers, row_shape
from bench.errors import UsageError
from bench.spec import Case, Embedded, EmbeddedFeatures, FirstRows, Flatten, RandomRows, Validation, parts

QUICK_MAXLEN = 40
QUICK_TRAIN = 2000
QUICK_VALIDATION = 500
QUICK_TEST = 1000
QUICK_EPOCHS = 3
QUICK_BATCH = 64


def apply(case: Case, profile: Profile) -> Case:
    """Return `case` as `profile` runs it.

    `documented` changes nothing. `quick` keeps the architecture (every layer, so every documented parameter count)
    and the shape of the protocol, and makes both small enough that all cases under two backends take minutes on two
    cores:

    - data: the embedded corpus, 2,000 reviews to train (validation rows among them), 1,000 to test, with the case's
      vocabulary, padding and encoding; generated numbers of the same shape where rows are numbers. Rows are cut to 40
      ids or time steps, since a recurrent layer's time is proportional to them, or to 80, 160 and so on where windows
      need them; a case with `Flatten` keeps its length, as its parameter count depends on it and its time hardly does.
    - epochs: at most 3; early stopping and checkpoints stay as they are.
    - batch size: at most 64. Document 003's 1,024 rows would be two updates an epoch, after which no architecture
      differs from another.
    - low-data pairs: N becomes 200 * sqrt(N / 200), so that 200 stays 200 and 10,000 becomes 1,414 of the 2,000
      reviews there are.
    """
    if profile == "documented":
        return case
    training = replace(
        case.training,
        epochs=min(case.training.epochs, QUICK_EPOCHS),
        batch_size=min(case.training.batch_size, QUICK_BATCH),
        validation=_validation(case.training.validation),
    )
    return replace(case, data=_data(case), training=training)


def _data(case: Case) -> Embedded | EmbeddedFeatures:
    data, has, shape = case.data, parts(case.data), _row_shape(case)
    validation, test = (QUICK_VALIDATION if "validation" in has else 0), (QUICK_TEST if "test" in has else 0)
    if isinstance(data, EmbeddedFeatures) or data.encoding == "features":
        return EmbeddedFeatures(shape, QUICK_TRAIN, validation, test)
    assert data.num_words is not None
    return Embedded(
        num_words=data.num_words,
        maxlen=shape[0] if data.encoding == "ids" else data.maxlen,
        padding=data.padding,
        truncating=data.truncating,
        train=QUICK_TRAIN,
        validation=validation,
        test=test,
        encoding=data.encoding,
    )


def _row_shape(case: Case) -> tuple[int, ...]:
    """Return the shape of a row, of the fewest steps, 40 or doubled, in which every window of the layers finds its own.

    Rows without time and rows of a case with `Flatten` keep theirs.
    """
    whole = row_shape(case.data)
    over_time = case.data.encoding == "ids" or len(whole) == 2
    steps = QUICK_MAXLEN if over_time and not any(isinstance(layer, Flatten) for layer in case.layers) else whole[0]
    while steps < whole[0]:
        shape = steps, *whole[1:]
        try:
            build_layers(case.layers, shape)
        except UsageError:
            steps *= 2
        else:
            return shape
    return whole


def _validation(validation: Validation | None) -> Validation | None:
    match validation:
        case FirstRows(rows=rows):
            return FirstRows(min(rows, QUICK_VALIDATION))
        case RandomRows(train=train, validation=rows):
            quick = round(200 * sqrt(train / 200)) if train > 200 else train
            return RandomRows(min(quick, QUICK_TRAIN - QUICK_VALIDATION), min(rows, QUICK_VALIDATION))
        case _:
            return validation
