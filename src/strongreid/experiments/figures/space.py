"""The feature space of a trained model in two dimensions: f_t and f_i, by principal components or t-SNE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from strongreid.data.records import DISTRACTOR, ImageRecord
from strongreid.errors import InputError
from strongreid.evaluation.distances import normalise
from strongreid.evaluation.style import COLOURS, GREY, MARKERS, drawing, label
from strongreid.experiments.figures.projection import principal_components, tsne
from strongreid.extraction import Extractor
from strongreid.features import FeatureTable
from strongreid.model.network import BNNeck
from strongreid.model.weights import LoadedModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Method = Literal["pca", "tsne"]
ColourBy = Literal["identity", "camera"]


def space_tables(
    model: LoadedModel, records: Sequence[ImageRecord], *, device: str = "auto", progress: bool = False
) -> dict[str, FeatureTable]:
    """Tables of f_t and f_i by title; of f_t only where the model has no BNNeck, since they are the same then.

    f_i is scaled to length 1 where the model is tested with the cosine distance.

    Raises:
        InputError: there are no records, or a picture can't be read.
    """
    tables = {
        "f_t": Extractor(model, device=device, feature="f_t", backend="torch").table(records, progress=progress)
    }
    if isinstance(model.model.neck, BNNeck):
        table = Extractor(model, device=device, feature="f_i", backend="torch").table(records, progress=progress)
        cosine = model.spec.metric == "cosine"
        title = "f_i, scaled to length 1" if cosine else "f_i"
        tables[title] = replace(table, features=normalise(table.features)) if cosine else table
    return tables


def some_people(records: Sequence[ImageRecord], points: int, seed: int = 0) -> list[ImageRecord]:
    """All pictures of people drawn at random, as many people as have at most `points` pictures; no distractors.

    Raises:
        InputError: points is below 1, or nobody has so few pictures.
    """
    of_identity: dict[int, list[ImageRecord]] = {}
    for record in records:
        if record.identity != DISTRACTOR:
            of_identity.setdefault(record.identity, []).append(record)
    order = np.random.default_rng(seed).permutation(sorted(of_identity)).tolist()
    kept: list[ImageRecord] = []
    for identity in order:
        if len(kept) + len(of_identity[identity]) > points:
            break
        kept += of_identity[identity]
    if not kept:
        raise InputError(f"{len(records)} records hold nobody with at most {points} pictures: allow more --points.")
    return kept


def draw_space(
    tables: Mapping[str, FeatureTable],
    path: str | Path,
    *,
    method: Method = "pca",
    colour_by: ColourBy = "identity",
    perplexity: float = 30.0,
) -> None:
    """Draw each titled table of the same pictures in two dimensions, side by side.

    Args:
        tables: at most 3000 rows each for "tsne".
        path: the figure to write.
        method: "pca" or "tsne".
        colour_by: "identity": the 8 with the most pictures have colours, others are grey; or "camera".
        perplexity: of t-SNE.

    Raises:
        InputError: there are no tables, they are too small or too large for the method, or the file can't be written.
    """
    if not tables or method not in ("pca", "tsne") or colour_by not in ("identity", "camera"):
        raise InputError(
            f"give a table, a method of pca, tsne and colours by identity or camera; got {len(tables)} tables, "
            f"{method!r} and {colour_by!r}."
        )
    drawn = {}
    for title, table in tables.items():
        if method == "pca":
            places, shares = principal_components(table.features)
            named = [
                f"component {number}: {100 * share:.0f} % of the variance" for number, share in enumerate(shares, 1)
            ]
        else:
            places, named = tsne(table.features, perplexity=perplexity), ["", ""]
        drawn[title] = places, named
    with drawing(path, 4.6 * len(tables) + 1.2, 4.4) as figure:
        panels = figure.subplots(1, len(tables), squeeze=False)[0]
        for axes, (title, (places, named)) in zip(panels, drawn.items(), strict=True):
            _scatter(axes, places, tables[title], colour_by)
            axes.set(title=label(title if method == "pca" else f"{title}, t-SNE"), xlabel=named[0], ylabel=named[1])
            axes.set_aspect("equal", adjustable="datalim")
            if method == "tsne":
                axes.set(xticklabels=[], yticklabels=[])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", title=colour_by)


def _scatter(axes: Axes, places: npt.NDArray[np.float32], table: FeatureTable, colour_by: ColourBy) -> None:
    values = table.identities if colour_by == "identity" else table.cameras
    names, counts = np.unique(values, return_counts=True)
    shown = sorted(names[np.argsort(-counts, kind="stable")][: len(COLOURS) - 1].tolist())  # the last colour is grey
    rest = ~np.isin(values, shown)
    if rest.any():
        others = f"{len(names) - len(shown)} others"
        axes.scatter(places[rest, 0], places[rest, 1], s=6, color=GREY, alpha=0.35, linewidths=0, label=others)
    for number, name in enumerate(shown):
        style: Any = {"color": COLOURS[number], "marker": MARKERS[number], "linewidths": 0.4, "edgecolors": "white"}
        x, y = places[values == name].T
        axes.scatter(x, y, s=26, **style, label=str(name))
