"""The topics of a report, and the answers: what people ask, each with a conclusion whose every figure is of a frame."""

from __future__ import annotations

from bench.report.results import Results
from bench.report.topic import Answer, Topic
from bench.report.topics import (
    accuracy,
    architectures,
    curves,
    documented,
    explain,
    gaps,
    kernels,
    low_data,
    numerics,
    parameters,
    parity,
    roofline,
    speed,
    timing,
    versions,
)

TOPICS: tuple[Topic, ...] = (
    architectures.TOPIC,
    speed.TOPIC,
    kernels.FUSED,
    accuracy.TOPIC,
    documented.TOPIC,
    curves.TOPIC,
    low_data.TOPIC,
    numerics.TOPIC,
    versions.TOPIC,
    explain.TOPIC,
    explain.PORT,
    roofline.TOPIC,
    parity.TOPIC,
    timing.TOPIC,
    kernels.TOPIC,
    parameters.TOPIC,
    gaps.TOPIC,
)
"""In the order in which they are read: questions, pages and blocks alike."""


def answers(results: Results) -> dict[str, Answer]:
    """Return by question, in the order in which they are read, what the results, or their absence, say to it."""
    found = {topic.question: topic.answer(results) for topic in TOPICS if topic.question and topic.answer}
    return {question: answer for question, answer in found.items() if answer}
