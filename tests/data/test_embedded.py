from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.data import embedded, imdb
from bench.data.dataset import Labelled
from bench.data.embedded import Role
from bench.data.text import pad_sequences
from bench.spec import Embedded

if TYPE_CHECKING:
    import torch

EVERY_WORD = imdb.INDEX_FROM + 1 + embedded.VOCABULARY


def made(
    num_words: int = EVERY_WORD, train: int = 2000, validation: int = 0, test: int = 1000, classes: int = 2
) -> dict[str, Labelled]:
    return embedded.corpus(Embedded(num_words, train=train, validation=validation, test=test, classes=classes))


# --- what is written ---------------------------------------------------------------------------------------------


def test_the_corpus_is_the_same_on_every_machine() -> None:
    frozen = "9f9814b61910cbee663386e52bda17b3518fd4e196b38867c768cdc286a05171"
    digest = hashlib.sha256()
    for sequences, labels in made(num_words=5000, train=300, validation=100, test=200).values():
        digest.update(sequences.ids.astype("<i4").tobytes())
        digest.update(sequences.offsets.astype("<i8").tobytes())
        digest.update(labels.astype("<f4").tobytes())
    assert digest.hexdigest() == frozen


def test_a_part_does_not_depend_on_the_size_of_another() -> None:
    small, large = made(train=100, test=50), made(train=200, validation=30, test=50)
    assert list(small) == ["train", "test"]
    np.testing.assert_array_equal(small["test"].sequences.ids, large["test"].sequences.ids)


def test_ids_and_labels_are_shaped_as_keras_has_them() -> None:
    every, clipped = made()["train"], made(num_words=1000)["train"]
    ids, starts = every.sequences.ids, every.sequences.offsets[:-1]
    assert ids.dtype == np.int32
    assert (np.flatnonzero(ids == imdb.START) == starts).all()
    assert ids[ids != imdb.START].min() == imdb.INDEX_FROM + 1
    assert ids.max() < EVERY_WORD
    np.testing.assert_array_equal(clipped.sequences.ids, np.where(ids < 1000, ids, imdb.OUT_OF_VOCABULARY))
    assert every.labels.dtype == np.float32
    assert every.labels.sum() == 1000
    assert abs(every.labels[:200].mean() - 0.5) < 0.1


@pytest.mark.realdata
@pytest.mark.skipif("BENCH_DATA_DIR" not in os.environ, reason="BENCH_DATA_DIR is not set")
def test_lengths_and_frequencies_are_those_of_imdb() -> None:
    (real, _), _ = imdb.load(Path(os.environ["BENCH_DATA_DIR"]) / "imdb.npz", EVERY_WORD)
    generated = made(train=10_000)["train"].sequences
    lengths, real_lengths = np.diff(generated.offsets), np.diff(real.offsets)
    assert lengths.mean() == pytest.approx(real_lengths.mean(), rel=0.03)
    percents = [1, 10, 25, 50, 75, 90, 99]
    np.testing.assert_allclose(np.percentile(lengths, percents), np.percentile(real_lengths, percents), rtol=0.06)
    assert real_lengths.min() <= lengths.min()
    assert 1500 < lengths.max() <= real_lengths.max()
    covered, really_covered = _coverage(generated.ids), _coverage(real.ids)
    for ranks in (1, 3, 10, 100, 1000, 10_000, 30_000):
        assert covered[ranks - 1] == pytest.approx(really_covered[ranks - 1], abs=0.01), f"first {ranks} ranks"


def _coverage(ids: NDArray[np.int32]) -> NDArray[np.float64]:
    counts = np.bincount(ids, minlength=EVERY_WORD)[imdb.INDEX_FROM + 1 :]
    covered: NDArray[np.float64] = np.cumsum(counts) / counts.sum()
    return covered


# --- what the label rests on -------------------------------------------------------------------------------------


def test_but_and_not_stand_between_opposite_words_of_which_the_grammar_says_which_counts() -> None:
    train = made()["train"]
    roles = embedded.roles(EVERY_WORD)[train.sequences.ids]
    label = np.repeat(np.where(train.labels == 1, Role.POSITIVE, Role.NEGATIVE), np.diff(train.sequences.offsets))
    for marker, verdict, concession in ((Role.BUT, 1, -1), (Role.NOT, -1, 1)):
        places = np.flatnonzero(roles == marker)
        # The last opinion of a review may be cut right behind its marker.
        places = places[~np.isin(places + 1, train.sequences.offsets)]
        assert len(places) > 1000
        assert (roles[places + verdict] == label[places]).all()
        assert (roles[places + concession] == Role.POSITIVE + Role.NEGATIVE - label[places]).all()


def test_a_plain_review_is_settled_by_counting_and_a_balanced_one_holds_as_much_of_either() -> None:
    train = made()["train"]
    roles = embedded.roles(EVERY_WORD)
    counts = np.array([np.bincount(roles[ids], minlength=len(Role)) for ids in train.sequences])
    surplus = counts[:, Role.POSITIVE] - counts[:, Role.NEGATIVE]
    balanced = counts[:, [Role.BUT, Role.NOT]].sum(axis=1) > 0
    assert balanced.mean() == pytest.approx(0.6, abs=0.03)
    assert (np.abs(surplus[balanced]) <= 4).all(), "no more than the run of the opinion that the end cuts"
    assert ((surplus > 0) == (train.labels == 1))[~balanced].mean() > 0.99, "all but reviews too short for an opinion"


@pytest.mark.parametrize("classes", [3, 6, 46])
def test_every_two_classes_have_words_of_their_own_and_the_grammar_tells_them_apart(classes: int) -> None:
    train = made(classes=classes)["train"]
    counts = np.bincount(train.labels.astype(int), minlength=classes)
    assert counts.max() - counts.min() <= 1
    roles = embedded.roles(EVERY_WORD)
    of_topic = [
        np.unique(
            np.concatenate([ids for ids, label in zip(train.sequences, train.labels, strict=True) if label // 2 == t])
        )
        for t in range(-(-classes // 2))
    ]
    opinions = [set(ids[np.isin(roles[ids], (Role.POSITIVE, Role.NEGATIVE))]) for ids in of_topic]
    assert all(opinions)
    assert all(not (some & other) for i, some in enumerate(opinions) for other in opinions[:i])
    surplus = np.array(
        [np.sum(roles[ids] == Role.POSITIVE) - np.sum(roles[ids] == Role.NEGATIVE) for ids in train.sequences]
    )
    assert ((surplus > 0) == (train.labels % 2 == 1))[np.abs(surplus) > 4].all()


def test_a_bag_of_words_tells_topics_and_some_polarities_apart() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    corpus = made(num_words=1000, classes=4)
    bags = [_bags(_padded(part, 40), 1000) for part in (corpus["train"], corpus["test"])]
    model = linear_model.LogisticRegression(C=0.1, max_iter=500).fit(bags[0], corpus["train"].labels)
    assert 0.5 < model.score(bags[1], corpus["test"].labels) < 0.75  # 0.25 by chance, 0.7 at most


@pytest.mark.parametrize(("maxlen", "side"), [(40, "pre"), (400, "post")])
def test_a_bag_of_words_is_right_in_part(maxlen: int, side: str) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    corpus = made(num_words=1000)
    bags = [_bags(_padded(part, maxlen, side), 1000) for part in (corpus["train"], corpus["test"])]
    model = linear_model.LogisticRegression(C=0.01, max_iter=500).fit(bags[0], corpus["train"].labels)
    assert 0.62 < model.score(bags[1], corpus["test"].labels) < 0.78


def _padded(part: Labelled, maxlen: int, side: str = "pre") -> NDArray[np.int32]:
    return pad_sequences(part.sequences, maxlen, side, side)  # type: ignore[arg-type]


def _bags(rows: NDArray[np.int32], width: int) -> NDArray[np.float32]:
    bags = np.zeros((len(rows), width), np.float32)
    np.add.at(bags, (np.arange(len(rows))[:, None], rows), 1)
    return bags[:, imdb.INDEX_FROM + 1 :]


# --- what networks make of it ------------------------------------------------------------------------------------


@pytest.fixture
def torch_on_one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # nets this small lose by more, and lose much on busy cores
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("torch_on_one_thread")
def test_an_lstm_beats_flattening_and_pooling_by_ten_points_in_a_short_training() -> None:
    words, maxlen, width = 5000, 40, 32
    corpus = made(num_words=words, train=4000, test=2000)
    for seed in (0, 1):
        accuracy = {kind: _accuracy(kind, corpus, words, maxlen, width, seed) for kind in ("flatten", "pool", "lstm")}
        assert accuracy["lstm"] > 0.8
        assert accuracy["lstm"] > max(accuracy["flatten"], accuracy["pool"]) + 0.1
        assert min(accuracy["flatten"], accuracy["pool"]) > 0.6


def _accuracy(kind: str, corpus: dict[str, Labelled], words: int, maxlen: int, width: int, seed: int) -> float:
    """Train `Embedding, kind, Dense(1)` for 4 epochs with Adam and batch 32, return the test accuracy."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(words, width)
            self.lstm = torch.nn.LSTM(width, 32, batch_first=True) if kind == "lstm" else None
            self.dense = torch.nn.Linear({"flatten": maxlen * width, "pool": width, "lstm": 32}[kind], 1)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            z = self.embedding(ids)
            if self.lstm is not None:
                z = self.lstm(z)[0][:, -1]
            elif kind == "pool":
                z = z.mean(dim=1)
            return self.dense(z.flatten(1))

    torch.manual_seed(seed)
    network = Network()
    _as_keras_begins(network)
    train, test = (torch.from_numpy(_padded(part, maxlen)).long() for part in (corpus["train"], corpus["test"]))
    _fit(network, torch.optim.Adam(network.parameters(), lr=0.001), train, corpus["train"].labels, epochs=4)
    return _right(network, test, corpus["test"].labels)


@pytest.mark.parametrize("epochs", [3, 10])
@pytest.mark.usefixtures("torch_on_one_thread")
def test_pretrained_vectors_beat_learned_ones_at_200_reviews(epochs: int) -> None:
    import torch

    words, maxlen, width = 10_000, 100, 100
    corpus = made(num_words=words, train=1000, test=1000)
    rows, test = (torch.from_numpy(_padded(part, maxlen)).long() for part in (corpus["train"], corpus["test"]))
    vectors = torch.from_numpy(embedded.vectors(words, width))
    right: dict[str, list[float]] = {"pretrained": [], "learned": []}
    for seed in range(3):
        chosen = np.random.RandomState(seed).permutation(len(rows))[:200]
        for kind, accuracies in right.items():
            torch.manual_seed(seed)
            layers = (torch.nn.Linear(maxlen * width, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
            network = torch.nn.Sequential(torch.nn.Embedding(words, width), torch.nn.Flatten(), *layers)
            _as_keras_begins(network)
            if kind == "pretrained":
                network[0] = torch.nn.Embedding.from_pretrained(vectors, freeze=True)
            trained = [weight for weight in network.parameters() if weight.requires_grad]
            optimizer = torch.optim.RMSprop(trained, lr=0.001, alpha=0.9, eps=1e-7)
            _fit(network, optimizer, rows[chosen], corpus["train"].labels[chosen], epochs)
            accuracies.append(_right(network, test, corpus["test"].labels))
    assert min(right["pretrained"]) > max(right["learned"])
    assert np.mean(right["pretrained"]) > np.mean(right["learned"]) + 0.05


def test_vectors_leave_the_ids_that_are_no_words_at_zero_and_do_not_depend_on_the_vocabulary() -> None:
    table = embedded.vectors(1000, 50)
    assert table.shape == (1000, 50)
    assert table.dtype == np.float32
    assert not table[: imdb.INDEX_FROM + 1].any()
    assert table[imdb.INDEX_FROM + 1 :].any(axis=1).all()
    np.testing.assert_array_equal(embedded.vectors(300, 50), table[:300])


@pytest.mark.parametrize("offset", [0, 1, 3, 7, 2000])
def test_another_offset_moves_the_rows_of_the_words_and_changes_none(offset: int) -> None:
    own, moved = embedded.vectors(1000, 50), embedded.vectors(1000, 50, offset)
    words = min(len(own) - imdb.INDEX_FROM, max(len(moved) - offset, 0))
    for rank in range(1, words):
        np.testing.assert_array_equal(moved[rank + offset], own[rank + imdb.INDEX_FROM])
    assert moved.shape == own.shape
    assert moved[offset + 1 :].any(axis=1).all()
    assert not moved[: offset + 1].any()


def _as_keras_begins(network: torch.nn.Module) -> None:
    """Embedding uniform(-0.05, 0.05), kernels glorot_uniform, recurrent ones orthogonal, biases 0, forget gate 1."""
    from torch.nn import LSTM, Embedding, init

    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.ndim == 1:
                init.zeros_(weight)
            elif isinstance(module, Embedding):
                init.uniform_(weight, -0.05, 0.05)
            elif "weight_hh" in name:
                init.orthogonal_(weight)
            else:
                init.xavier_uniform_(weight)
        if isinstance(module, LSTM):
            init.ones_(module.bias_ih_l0[module.hidden_size : 2 * module.hidden_size])


def _fit(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    rows: torch.Tensor,
    labels: NDArray[np.float32],
    epochs: int,
) -> None:
    import torch

    targets = torch.from_numpy(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows)).split(32):
            optimizer.zero_grad()
            logits = network(rows[batch])[:, 0]
            torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[batch]).backward()
            optimizer.step()


def _right(network: torch.nn.Module, rows: torch.Tensor, labels: NDArray[np.float32]) -> float:
    import torch

    with torch.no_grad():
        return float(np.mean((network(rows)[:, 0] > 0).numpy() == (labels == 1)))
