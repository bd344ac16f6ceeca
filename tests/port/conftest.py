"""The two processes of a comparison, kept for many of them: to start frameworks takes longer than to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bench.port.sides import Side

Sides = Callable[[str, int, float], Side]


class KeptSide(Side):
    """A side that outlives the command; `end` ends it."""

    def __exit__(self, *_: object) -> None:
        pass

    def end(self) -> None:
        super().__exit__()


@pytest.fixture(scope="module")
def double() -> Iterator[None]:
    """Have Keras and torch compute in float64 in this process."""
    keras, torch = pytest.importorskip("keras"), pytest.importorskip("torch")

    def switch(keras_type: str, torch_type: object) -> None:
        keras.config.set_floatx(keras_type)
        keras.config.set_dtype_policy(keras_type)  # which floatx leaves alone where it was ever set
        torch.set_default_dtype(torch_type)

    switch("float64", torch.float64)
    yield
    switch("float32", torch.float32)


@pytest.fixture(scope="session")
def kept_sides() -> Iterator[Sides]:
    """Return what takes the place of `Side`: the same process again, a new one where it has ended."""
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    kept: dict[str, KeptSide] = {}

    def side(name: str, threads: int, seconds: float) -> Side:
        if name in kept and kept[name].child.process.poll() is not None:
            kept.pop(name).end()
        if name not in kept:
            kept[name] = KeptSide(name, threads, seconds)
        kept[name].seconds = seconds
        return kept[name]

    yield side
    for one in kept.values():
        one.end()
