"""twinbench: the same documented model, twinned across Keras and PyTorch, proven equal, then measured.

In a notebook::

    import bench

    bench.load_suite("imdb-rnn").cases          # what is declared
    bench.run("imdb-rnn/*", backends=["torch"])  # run cells, keep them, and return them
    bench.results()                              # the latest run as a pandas frame

Importing this package loads neither a framework nor pandas; `run` and `results` load what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import load_suite, results, run

__all__ = ["load_suite", "results", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute {name!r}; it has {', '.join(__all__)}")
    from bench import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
