"""How every picture looks: sizes for a page of 830 pixels, colours that colour-blind people tell apart, light and dark.

Pictures are made without pyplot, and so without a display or global state: inside `style(theme)`, a
`matplotlib.figure.Figure` is drawn and given to `save`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.backends.registry import backends
from bench.files import replacing

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = get_args(Theme)
Format = Literal["svg", "png", "pdf"]
FORMATS: tuple[Format, ...] = ("svg", "png")
WIDTH = 8.3
"""Inches; at 100 points an inch the width that GitHub gives a page."""
DPI = 200
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
"""The palette of Okabe and Ito, "Color Universal Design" (2008)."""
_MORE = ((SKY, "*"), (YELLOW, "X"))
_GROUND = {"light": ("#ffffff", "#1f2328", "#d1d9e0"), "dark": ("#0d1117", "#e6edf3", "#3d444d")}
"""Background, text and lines of GitHub's two themes."""
_LIGHTER = {BLUE: SKY}
"""What stands in for a colour that is too dark on a dark ground."""


def ink(theme: Theme) -> str:
    """Return the colour of text, of what a document prints, and of reference lines."""
    return _GROUND[theme][1]


def faint(theme: Theme) -> str:
    """Return the colour of grids and connecting lines."""
    return _GROUND[theme][2]


def colour(name: str, theme: Theme) -> str:
    """Return a colour of the palette (a backend's name, or a colour) as it is shown on the theme's ground."""
    shade = name if name.startswith("#") else _looks(name)[0]
    return _LIGHTER.get(shade, shade) if theme == "dark" else shade


def marker(name: str) -> str:
    """Return the marker of a backend or column, so that colour is never alone in telling them apart."""
    return _looks(name)[1]


def fill(name: str) -> Literal["full", "bottom", "none"]:
    """Return how a column's marker is filled: not fully where other columns of its backend have the same marker."""
    half = name.endswith((" matched", "(our own loop)"))
    return "none" if "denormals" in name else "bottom" if half else "full"


def _looks(name: str) -> tuple[str, str]:
    """Return colour and marker of a column by its backend; one that has none gets one of the rest, always the same."""
    backend = name.split(" ")[0]
    info, (colour, marker) = backends().get(backend), _MORE[sum(backend.encode()) % len(_MORE)]
    return (info.colour or colour, info.marker or marker) if info else (colour, marker)


@contextmanager
def style(theme: Theme) -> Iterator[None]:
    """Draw and save inside this context: one look, and the same bytes whenever the same is drawn."""
    ground, text, line = _GROUND[theme]
    settings: Any = {
        "figure.facecolor": ground,
        "savefig.facecolor": ground,
        "axes.facecolor": ground,
        "axes.edgecolor": line,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": line,
        "grid.linewidth": 0.5,
        "grid.alpha": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": text,
        "axes.labelcolor": text,
        "axes.titlecolor": text,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "xtick.color": text,
        "ytick.color": text,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "font.size": 9,
        "font.family": "sans-serif",
        # The first comes with matplotlib, so every machine measures the same; a reader without it sees a narrower one.
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "svg.fonttype": "none",  # text stays text: a third of the size, and it can be searched and read aloud
        "svg.hashsalt": "twinbench",
        "text.parse_math": False,  # a dollar in a name begins no formula
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield


def save(
    figure: Figure, folder: Path, name: str, theme: Theme, formats: Sequence[Format] = FORMATS, drawn: str = ""
) -> list[Path]:
    """Write `folder/name-theme.FORMAT` and return the paths; `drawn` is kept in them (see `drawn_in`)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for ending in formats:
        path = folder / f"{name}-{theme}.{ending}"
        with replacing(path) as part:
            figure.savefig(part, format=ending, dpi=DPI, metadata=metadata(path.suffix, drawn))
        paths.append(path)
    return paths


def metadata(suffix: str, drawn: str = "") -> dict[str, Any]:
    """Return what a picture file of that ending says of itself: no date, so that the same drawing is the same file."""
    silent = {".svg": "Date", ".png": "Software", ".pdf": "CreationDate"}[suffix]
    return {silent: None} | ({"Description": drawn} if drawn else {})


def drawn_in(svg: Path) -> str | None:
    """Return what `save` was told was `drawn` in an SVG; None where the file is missing or does not say."""
    if not svg.is_file():
        return None
    found = re.search(r"<dc:description>(.*?)</dc:description>", svg.read_text(encoding="utf-8"))
    return found[1] if found else None
