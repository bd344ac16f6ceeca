"""A process that holds one side of a port, and runs the user's code of it; only here and in its sides that is done.

Started as `python -m bench.port.worker keras|torch DESCRIPTOR`. A request is (method, arguments), an answer (status,
value): `ok`, `wrong` with a sentence for the user, or `raised` with what the user's code raised. See
`bench.runner.server` for the channel.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from bench.errors import BenchError
from bench.port.loading import sentence
from bench.runner.server import answer


def main() -> None:
    """Answer requests about the side that the first argument names."""
    name = sys.argv.pop(1)
    side: Any = None

    def answered(request: tuple[str, tuple[Any, ...]]) -> tuple[str, Any]:
        nonlocal side
        method, arguments = request
        try:
            if side is None:
                side = _side(name)
            return "ok", getattr(side, method)(*arguments)
        except BenchError as error:
            return "wrong", str(error)
        except BaseException as error:  # the user's code may raise anything, and call sys.exit
            return "raised", sentence(error)

    answer(answered)


def _side(name: str) -> Any:
    warnings.simplefilter("ignore")
    if name == "keras":
        from bench.port.keras_side import KerasSide

        return KerasSide()
    from bench.port.torch_side import TorchSide

    return TorchSide()


if __name__ == "__main__":
    main()
