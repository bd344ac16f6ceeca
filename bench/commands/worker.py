"""`bench worker`: let this machine take cells of runs on a Dask cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import click

from bench.errors import UsageError
from bench.machine.fingerprint import own_cores
from bench.machine.slots import listed
from bench.runner.run import clustered
from bench.spec import Device


class _Cores(click.ParamType[Any]):
    """Cores as `taskset` takes them: `0-3,8`."""

    name = "cores"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the numbers; fail for what is none."""
        try:
            found = listed(str(value))
        except ValueError:
            self.fail(f"expected cores as in 0-3,8, got {value!r}", param, ctx)
        if lacking := found - set(own_cores()):
            self.fail(f"this process may not use {', '.join(map(str, sorted(lacking)))}", param, ctx)
        return found


@click.command("worker", context_settings={"ignore_unknown_options": True})
@click.argument("address")
@click.option("--device", type=click.Choice(get_args(Device)), default="cpu", help="The cells to take.")
@click.option("--cores", type=_Cores(), metavar="LIST", help="Cores to use, as in 0-3,8. Default: all.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[DASK OPTION]...")
def command(address: str, device: Device, cores: set[int] | None, options: Sequence[str]) -> int:
    """Take cells of the runs on the Dask scheduler at ADDRESS, one at a time, until that is gone.

    Start one for each GPU, or each set of cores, of a machine. Options of `dask worker` are handed on, such as
    --tls-cert FILE.
    """
    node = clustered().node
    if "://" not in address and ":" not in address:
        raise UsageError(
            f"{address!r} is no address of a scheduler; give the one that it prints, as in tcp://10.0.0.5:8786"
        )
    if device == "cuda":
        node.check_gpu()
    code: int = node.work(address, device, cores or (), options)
    return code
