"""The two processes of a comparison, and their methods as this process calls them; nothing of the user's runs here."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.backends.registry import BACKENDS
from bench.errors import UsageError, install
from bench.runner.client import Answering, ServerDied


class Side(Answering):
    """One side's process: every attribute is a method of `KerasSide` or `TorchSide`, called there.

    A method raises `UsageError` with a sentence for the user when the user's code fails, hangs or ends the process.
    """

    def __init__(self, name: str, threads: int, seconds: float) -> None:
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
        if name == "keras":
            environment |= dict(BACKENDS[f"keras-{engine()}"].environment)
        super().__init__("bench.port.worker", name, threads, environment, (name,), seconds)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._call, method)

    def _call(self, method: str, *arguments: Any) -> Any:
        title = {"keras": "Keras", "torch": "torch"}[self.name]
        doing = _DOING.get(method, method)
        try:
            status, value = self.ask(method, (method, arguments))
        except TimeoutError:
            raise UsageError(
                f"{title}: {doing} took over {self.seconds:g} s; raise --timeout, or give a smaller batch"
            ) from None
        except ServerDied as error:
            last = str(error).strip().splitlines()[1:]
            said = f"; its last words: {last[-1].strip()}" if last else ""
            raise UsageError(f"{title}: {doing} ended the process ({self.child.process.poll()}){said}") from None
        if status == "ok":
            return value
        raise UsageError(f"{title}: {value}" if status == "wrong" else f"{title}: {doing} failed: {value}")


_DOING = {
    "load": "loading the model",
    "compile": "--keras-compile",
    "prepare": "running the model",
    "forward": "running the model",
    "gradient": "the gradient",
    "recipe": "--torch-step",
    "train": "training",
    "order": "reading the data's order",
}


def engine() -> str:
    """Return the engine of Keras that is used: the environment's choice, else the first that is installed.

    Raises `UsageError` where Keras or the engine is missing.
    """
    if importlib.util.find_spec("keras") is None:
        raise UsageError(f"Keras is not installed; {install('tensorflow')}")
    chosen = os.environ.get("KERAS_BACKEND")
    engines = ("tensorflow", "torch", "jax")
    if chosen and chosen not in engines:
        raise UsageError(f"KERAS_BACKEND is {chosen!r}; use one of {', '.join(engines)}")
    for name in (chosen,) if chosen else engines:
        if importlib.util.find_spec(name) is not None:
            return name
    raise UsageError(f"Keras's engine {chosen or 'TensorFlow'} is not installed; {install(chosen or 'tensorflow')}")
