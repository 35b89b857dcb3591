"""Maps drawn over the pictures that they are of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.style import BLUE, GREY, INK, ORANGE, VERMILLION, bare, drawing, set_gaps
from strongreid.experiments.figures.maps import Doubles, Located, Maps, PairMaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STRONGEST = 0.75  # opacity of the largest value


def draw_maps(located: Located, maps: Maps, path: str | Path, *, columns: int = 6) -> None:
    """Draw each picture and beside it the same with its map: what speaks for the class, and in blue what against it.

    Every map has its own scale, up to its largest value.

    Raises:
        InputError: columns is below 1, or the file can't be written.
    """
    if columns < 1:
        raise InputError(f"the figure needs at least 1 column of pictures, got {columns}.")
    count = len(located.pictures)
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    height, width = located.pictures.shape[1:3]
    across = min(1.0, 7.0 / (2 * columns))
    with drawing(path, max(2 * columns * across, 3.2), rows * (across * height / width + 0.2) + 0.25) as figure:
        set_gaps(figure, 0.025, 0)
        grid = figure.subplots(rows, 2 * columns, squeeze=False).reshape(-1, 2)
        for pair in grid:
            bare(pair[0])
            bare(pair[1])
        for number, (plain, covered) in enumerate(grid[:count]):
            plain.imshow(located.pictures[number])
            _cover(covered, located.pictures[number], maps.values[number])
            if maps.classes:
                said = f"class {maps.classes[number]}, {100 * maps.shares[number]:.0f} %"
                plain.set_title(said, fontsize=7, pad=2)
        meaning = {
            "class activation": "class activation: orange speaks for the training identity named, blue against it",
            "activation energy": "activation energy (there is no classifier to ask): where the network responds",
        }[maps.kind]
        figure.supxlabel(meaning, fontsize=7)


def draw_match(located: Located, found: PairMaps, path: str | Path, *, lines: int = 5) -> None:
    """Draw two pictures, what each location adds to their cosine, and lines between locations that match most.

    Raises:
        InputError: lines is below 0, or the file can't be written.
    """
    if lines < 0:
        raise InputError(f"the figure draws 0 or more lines, got {lines}.")
    from matplotlib.patches import ConnectionPatch

    height, width = located.pictures.shape[1:3]
    across = 1.55
    with drawing(path, 4 * across, across * height / width + 0.6) as figure:
        axes = figure.subplots(1, 4)
        top = max(float(found.a.max()), float(found.b.max()))
        for place, number, values in ((1, 0, found.a), (2, 1, found.b)):
            _cover(axes[place], located.pictures[number], values, top)
        for place, number, name in ((0, 0, "A"), (3, 1, "B")):
            axes[place].imshow(located.pictures[number])
            axes[place].set_title(name)
        for one in axes:
            bare(one)
        rows, columns = found.a.shape
        strongest = found.strongest(lines)
        for (y, x), (v, u), adds in strongest:
            ends = [((x + 0.5) * width / columns, (y + 0.5) * height / rows)]
            ends.append(((u + 0.5) * width / columns, (v + 0.5) * height / rows))
            line = ConnectionPatch(
                ends[0], ends[1], "data", "data", axesA=axes[1], axesB=axes[2],
                color=INK, linewidth=0.4 + 1.6 * adds / strongest[0][2], arrowstyle="-", alpha=0.8,
            )  # fmt: skip
            figure.add_artist(line)
        held = sum(adds for _, _, adds in strongest)
        figure.supxlabel(
            f"cosine {found.cosine:.3f}: orange locations add to it, blue ones take from it\n"
            f"{len(strongest)} lines: pairs of locations that add most, together {held:.3f}",
            fontsize=8,
        )


def _cover(axes: Axes, picture: object, values: Doubles, top: float | None = None) -> None:
    """The picture in grey, and over it the map: opacity by size, colour by sign, growing warmer."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    pixels = np.asarray(picture)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    height, width = grey.shape
    size = max(float(np.abs(values).max()) if top is None else top, 1e-12)
    share = np.clip(values / size, -1, 1)
    shades = LinearSegmentedColormap.from_list("sign", [BLUE, GREY, ORANGE, VERMILLION])
    colours = np.where((share >= 0)[..., None], shades(np.interp(share, [0, 1], [0.6, 1.0]))[..., :3], to_rgb(BLUE))
    covering = np.concatenate([colours, _STRONGEST * np.abs(share)[..., None]], axis=-1)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.imshow(covering, extent=extent, interpolation="bilinear", aspect=axes.get_aspect())
