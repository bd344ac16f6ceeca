"""What each version of Keras changed, as a staircase."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.report.frames import grouped
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handles_of, legend, seeds
from bench.report.style import WIDTH, Theme, colour, faint, marker
from bench.report.topics import versions
from bench.report.topics.versions import VersionRow


def _draw(rows: Sequence[VersionRow], theme: Theme) -> Figure:
    """Draw a panel for each case: a stair down for every version, as wide as the accuracy that it cost."""
    cases = grouped(rows, lambda row: row.name)
    heights = [len(members) for members in cases.values()]
    figure = Figure(figsize=(WIDTH, 0.9 + sum(0.42 + 0.26 * height for height in heights)), layout="constrained")
    axes = figure.subplots(len(cases), 1, squeeze=False, height_ratios=[height + 0.6 for height in heights])
    for axis, (case, members) in zip(axes.flat, cases.items(), strict=True):
        means = [100 * row.step.mean for row in members]
        stairs = [(mean, place + down) for place, mean in enumerate(means) for down in (0, 1)][:-1]
        axis.plot(*zip(*stairs, strict=True), color=faint(theme), lw=2)
        for place, (row, mean) in enumerate(zip(members, means, strict=True)):
            change = row.step.change
            axis.errorbar(
                mean,
                place,
                xerr=100 * change.ci_half_width if change and change.n > 1 else None,
                fmt=marker(row.step.stage.backend),
                color=colour(row.step.stage.backend, theme),
                elinewidth=1.4,
                capsize=2,
            )
        axis.set_yticks(range(len(members)), [row.step.stage.name for row in members])
        axis.set_ylim(len(members) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
        said = seeds((len(row.step.accuracies) for row in members), "paired seed")
        axis.set_title(f"{case}: {members[0].figure} accuracy, {said}")
    axes.flat[-1].set_xlabel("accuracy, %; bars: 95 % CI of the change from the version above")
    legend(figure, handles_of(sorted({row.step.stage.backend for row in rows}), theme))
    return figure


PLOT = Plot(
    "versions",
    "What each version of Keras changed",
    "accuracy under each version of Keras and PyTorch, by case, from the document's Keras on",
    versions.frame,
    _draw,
)
