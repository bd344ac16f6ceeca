"""Records of processes that timed training steps and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.records.record import Record, Timing
from tests.making import Maker


def stepped(
    record: Maker, cell: str, steps: Sequence[float], slopes: Sequence[float] = (), **changes: Any
) -> list[Record]:
    """Return a record for each process of `cell`: its seconds of a step, or the `slopes` of its pairs of windows."""
    return [
        record(
            cell,
            repeat=repeat,
            **{
                "measure": "steps",
                "timing": Timing(
                    build=0.1,
                    steps=100,
                    total=9.0,
                    alone=True,
                    step=step,
                    windows=[window for slope in slopes or [step] for window in ((1, 1.0), (2, 1.0 + slope))],
                    noise=0.02,
                ),
                **changes,
            },
        )
        for repeat, step in enumerate(steps)
    ]
