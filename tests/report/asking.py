"""Cases of a small suite, and what a report answers about their results."""

from __future__ import annotations

from typing import Any

from bench.report.answers import answers
from bench.report.results import Results
from bench.spec import (
    KERAS_2_0,
    Case,
    Dense,
    Documented,
    Embedding,
    Flatten,
    Imdb,
    Score,
    Suite,
    Training,
    Word2Vec,
)

DATA = Imdb(num_words=50, maxlen=10)


FLAT = (Embedding(50, 300), Flatten(), Dense(1, "sigmoid"))


FROZEN = (Embedding(50, 300, vectors=Word2Vec(), trainable=False), *FLAT[1:])


TRAINING = Training("rmsprop", epochs=2)


MEASURED = [0.7301, 0.7344, 0.7290, 0.7367, 0.7312]


def net(recurrent: Any) -> tuple[Any, ...]:
    return (Embedding(50, 8), recurrent, Dense(1, "sigmoid"))


def case(name: str, layers: Any = FLAT, accuracy: float | None = None, **changes: Any) -> Case:
    documented = Documented(test=None if accuracy is None else Score(accuracy=accuracy), **changes)
    return Case(name, data=DATA, layers=layers, training=TRAINING, documented=documented)


def suite(*cases: Case) -> Suite:
    return Suite("demo", document="7", title="A document", era=KERAS_2_0, cases=cases)


def found(results: Results, question: str) -> list[str]:
    """Return the findings on the question that begins so, each as one text."""
    answer = [one for one in answers(results) if one.question.startswith(question)]
    assert len(answer) <= 1
    return [f"{finding.lead}: {finding.body}" for one in answer for finding in one.findings]
