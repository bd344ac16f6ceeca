"""Make reuters.npz for keras-io/reuters-mlp: rows of zeros and ones over 1,000 words, as examples/reuters_mlp.py does.

python reuters.py FOLDER. Keras downloads the newswires.
"""

import sys
from pathlib import Path

import numpy as np
from keras.datasets import reuters

WORDS = 1000


def multi_hot(sequences: list[list[int]]) -> np.ndarray:
    """Return (rows, WORDS): which words each newswire holds (Keras's `Tokenizer.sequences_to_matrix`)."""
    rows = np.zeros((len(sequences), WORDS), np.float32)
    for row, words in zip(rows, sequences, strict=True):
        row[words] = 1
    return rows


if __name__ == "__main__":
    (x_train, y_train), (x_test, y_test) = reuters.load_data(num_words=WORDS, test_split=0.2)
    arrays = {"x_train": multi_hot(x_train), "y_train": y_train, "x_test": multi_hot(x_test), "y_test": y_test}
    np.savez_compressed(Path(sys.argv[1]) / "reuters.npz", **arrays)
