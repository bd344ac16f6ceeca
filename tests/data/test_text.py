from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_preprocessing import sequence as reference_sequence
from keras_preprocessing import text as reference_text

from bench.data import reviews, sources
from bench.data.dataset import MultiHot, Ragged
from bench.data.text import KERAS_FILTERS, Tokenizer, pad_sequences

# Letters whose lower case depends on their neighbours or is longer than they are, white space that is no separator,
# filtered characters, non-ASCII ones, a lone surrogate.
TEXTS = st.lists(st.text("abAB '!<\t\n\r\x0b\x0c\x1cΣΑİé\xa0\u2028\x85\ud800", max_size=30), max_size=8)
FILTERS = st.sampled_from([KERAS_FILTERS, "", "abA", "!é\u2028", '#$%&()*+-/:;<=>@[\\]^{|}~\t\n,.!"'])
SEQUENCES = st.lists(st.lists(st.integers(1, 99), max_size=9), min_size=1, max_size=6)
SIDES = st.sampled_from(["pre", "post"])


def ragged(sequences: list[list[int]]) -> Ragged:
    offsets = np.cumsum([0, *map(len, sequences)])
    return Ragged(np.array([i for sequence in sequences for i in sequence], np.int32), offsets)


def as_lists(sequences: Ragged) -> list[list[int]]:
    return [sequences[i].tolist() for i in range(len(sequences))]


@given(texts=TEXTS, others=TEXTS, filters=FILTERS, num_words=st.integers(1, 12))
def test_tokenizer_agrees_with_keras(texts: list[str], others: list[str], filters: str, num_words: int) -> None:
    reference = reference_text.Tokenizer(num_words=num_words, filters=filters)
    reference.fit_on_texts(texts)
    tokenizer = Tokenizer(num_words, filters)

    fitted = tokenizer.fit(texts)

    assert tokenizer.word_index == reference.word_index
    assert as_lists(fitted) == reference.texts_to_sequences(texts)
    assert as_lists(tokenizer.sequences(others)) == reference.texts_to_sequences(others)
    assert tokenizer.words() == [word for word, rank in reference.word_index.items() if rank < num_words]


@given(texts=TEXTS.filter(bool), num_words=st.integers(1, 12))
def test_multi_hot_rows_agree_with_keras(texts: list[str], num_words: int) -> None:
    reference = reference_text.Tokenizer(num_words=num_words)
    reference.fit_on_texts(texts)

    fitted = Tokenizer(num_words).fit(texts)
    rows = MultiHot(fitted.ids, fitted.offsets, num_words)

    np.testing.assert_array_equal(rows[np.arange(len(texts))], reference.texts_to_matrix(texts, mode="binary"))


@given(sequences=SEQUENCES, maxlen=st.integers(1, 8), padding=SIDES, truncating=SIDES)
def test_padding_agrees_with_keras(sequences: list[list[int]], maxlen: int, padding: str, truncating: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "unicode_", np.str_, raising=False)  # keras_preprocessing was written for NumPy 1
        expected = reference_sequence.pad_sequences(sequences, maxlen, padding=padding, truncating=truncating)

    padded = pad_sequences(ragged(sequences), maxlen, padding, truncating)  # type: ignore[arg-type]

    np.testing.assert_array_equal(padded, expected)
    assert padded.dtype == expected.dtype == np.int32


def test_padding_prints_what_document_001_prints() -> None:
    padded = pad_sequences(ragged([[1, 2, 23, 43], [2, 6, 1, 31, 3, 4, 21]]), maxlen=6)

    assert padded.tolist() == [[0, 0, 1, 2, 23, 43], [6, 1, 31, 3, 4, 21]]


@given(sequences=SEQUENCES, data=st.data())
def test_taking_rows_is_picking_lists(sequences: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(sequences) - 1)))

    assert as_lists(ragged(sequences).take(np.array(rows, np.intp))) == [sequences[row] for row in rows]


@pytest.mark.realdata
def test_train_texts_have_the_unique_tokens_that_document_001_prints(data_folder: Path) -> None:
    (texts, _), _ = reviews.load(sources.obtain("aclImdb")[0])
    tokenizer = Tokenizer(10_000)

    fitted = tokenizer.fit(texts)

    assert len(tokenizer.word_index) == 88_582
    assert (len(fitted), fitted.ids.max()) == (25_000, 9_999)
