"""What each framework default costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from bench.report.frames import MAIN, NATIVE, grouped
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handles_of, legend, offset, seeds
from bench.report.style import WIDTH, Theme, colour, ink, marker
from bench.report.topics import explain
from bench.report.topics.numerics import NumericsRow


def _draw(rows: Sequence[NumericsRow], theme: Theme) -> Figure:
    """Draw a panel for each explained case: what every numerics changes against matched ones, in points."""
    cases = grouped(rows, lambda row: row.name)
    backends = sorted({row.variant.backend for row in rows})
    numerics = {
        case: list(grouped(sorted(members, key=_largest_first(members)), lambda row: row.variant.numerics))
        for case, members in cases.items()
    }
    heights = [len(names) for names in numerics.values()]
    figure = Figure(figsize=(WIDTH, 0.9 + sum(0.42 + 0.24 * height for height in heights)), layout="constrained")
    axes = figure.subplots(len(cases), 1, squeeze=False, height_ratios=[height + 0.6 for height in heights])
    for axis, (case, members) in zip(axes.flat, cases.items(), strict=True):
        names = numerics[case]
        for row in members:
            backend = row.variant.backend
            axis.errorbar(
                100 * row.difference,
                names.index(row.variant.numerics) + offset(backend, backends, 0.36),
                xerr=None if row.ci_half_width is None else 100 * row.ci_half_width,
                fmt=marker(backend),
                color=colour(backend, theme),
                elinewidth=1.4,
                capsize=2,
            )
        axis.axvline(0, color=ink(theme), lw=1)
        axis.set_yticks(range(len(names)), [explain.called(name) for name in names])
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
        said = seeds((row.n for row in members), "paired seed")
        axis.set_title(f"{case}: {members[0].figure.name} accuracy, {said}")
    axes.flat[-1].set_xlabel("change of accuracy against matched numerics, points, 95 % CI")
    legend(figure, handles_of(backends, theme))
    return figure


def _largest_first(rows: Sequence[NumericsRow]) -> Callable[[NumericsRow], tuple[bool, bool, float]]:
    """Return a sort key: all differences at once, then each by its largest effect, at last the documents' formulas."""
    largest = {name: max(abs(row.difference) for row in found) for name, found in grouped(rows, _numerics).items()}
    return lambda row: (_numerics(row) == MAIN, _numerics(row) != NATIVE, -largest[_numerics(row)])


def _numerics(row: NumericsRow) -> str:
    return row.variant.numerics


PLOT = Plot(
    "differences",
    "What each framework default costs in accuracy",
    "change of accuracy against matched numerics, by explained case and backend, with 95 % CI",
    explain.frame,
    _draw,
)
