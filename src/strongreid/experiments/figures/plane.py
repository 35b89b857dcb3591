"""The feature space in two dimensions (the paper's figure 6): which losses give it which shape, on a few identities.

A small network ends in two numbers instead of hundreds, so that its features are drawn as they are and nothing has to
be projected. It is trained four times: under ID loss, triplet loss, both, and both with BNNeck between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from strongreid.data.augment import Augmentation, normalize
from strongreid.data.batches import Batches
from strongreid.data.images import DecodedStore, Pictures
from strongreid.data.records import ImageRecord
from strongreid.errors import InputError
from strongreid.evaluation.evaluate import evaluate
from strongreid.evaluation.style import COLOURS, INK, MARKERS, bare, drawing, set_gaps
from strongreid.evaluation.text import percent, text_table
from strongreid.features import FeatureTable
from strongreid.losses import batch_hard_triplet, identity_loss
from strongreid.model.backbones import create_backbone, feature_width
from strongreid.model.network import BNNeck, Output
from strongreid.training.schedule import learning_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Supervision = Literal["identity", "triplet", "both", "bnneck"]
SUPERVISIONS: tuple[Supervision, ...] = get_args(Supervision)
MOST_IDENTITIES = 8
_LEAST_PICTURES = 6
_HELD_OUT = 3  # every third picture of an identity
_GRID = 160


@dataclass(frozen=True)
class PlaneSettings:
    """How the four networks are trained.

    Args:
        identities: how many, those with the most pictures; 2 to 8.
        steps: of each training.
        images: of an identity in a batch; every batch holds all identities.
        lr: of Adam, after a warm-up over a tenth of the steps; then a cosine.
        margin: of the triplet loss.
        height: of the pictures, in pixels; they are half as wide.
        backbone: as in `ReIDModel`, without weights.
        seed: of the weights, the batches and the augmentation.
    """

    identities: int = 6
    steps: int = 250
    images: int = 6
    lr: float = 1e-3
    margin: float = 0.3
    height: int = 64
    backbone: str = "resnet10_w16"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.identities <= MOST_IDENTITIES or self.steps < 1 or self.images < 2 or self.height < 32:
            raise InputError(
                f"the figure takes 2 to {MOST_IDENTITIES} identities, at least 1 step, 2 images and a height of 32, "
                f"got {self.identities}, {self.steps}, {self.images} and {self.height}."
            )


class PlaneNetwork(nn.Module):
    """A backbone, a layer to two numbers (f_t), BNNeck (f_i) or nothing, and a classifier."""

    def __init__(self, backbone: str, identities: int, *, bnneck: bool) -> None:
        super().__init__()
        self.backbone = create_backbone(backbone, pretrained=False, last_stride=1)
        self.plane = nn.Linear(feature_width(self.backbone), 2)
        self.neck: nn.Module = BNNeck(2) if bnneck else nn.Identity()
        self.classifier = nn.Linear(2, identities, bias=not bnneck)

    def forward(self, images: Tensor) -> Output:
        """Normalised images (b, 3, h, w) to f_t and f_i, each (b, 2), and logits (b, identities)."""
        pooled = self.plane(self.backbone(images))
        feature = self.neck(pooled)
        return Output(pooled, feature, self.classifier(feature))


@dataclass(frozen=True, eq=False)
class Panel:
    """One feature of one network, for every picture."""

    title: str
    features: Floats
    """(n, 2)"""
    labels: Labels
    """(n,) from 0."""
    held_out: npt.NDArray[np.bool_]
    """(n,) pictures of the same identities that training did not see."""
    classifier: tuple[Floats, Floats] | None
    """Weight (identities, 2) and bias (identities,) where ID loss sees this feature."""

    def regions(self, across: Floats, down: Floats) -> Labels | None:
        """The identity that the classifier names at each point of a grid, as (len(down), len(across))."""
        if self.classifier is None:
            return None
        weight, bias = self.classifier
        points = np.stack(np.meshgrid(across, down), axis=-1)
        return np.asarray((points @ weight.T + bias).argmax(axis=-1), dtype=np.int64)

    def mean_ap(self, metric: Literal["cosine", "euclidean"]) -> float:
        """Mean average precision of the held-out pictures, each searched among all others of them."""
        return evaluate(self._held_table(), self._held_table(), metric=metric, leave_out="same_picture").mAP

    def length_variation(self) -> float:
        """Standard deviation of the features' lengths over their mean: 0 on a circle around the origin."""
        lengths = np.linalg.norm(self.features, axis=1)
        return float(lengths.std() / max(float(lengths.mean()), 1e-12))

    def spread(self) -> float:
        """Mean distance of a feature to its identity's centre, over the least distance of two centres."""
        centres = np.stack([self.features[self.labels == label].mean(axis=0) for label in np.unique(self.labels)])
        within = np.linalg.norm(self.features - centres[self.labels], axis=1).mean()
        between = np.linalg.norm(centres[:, None] - centres, axis=2)
        return float(within / max(float(between[~np.eye(len(centres), dtype=bool)].min()), 1e-12))

    def _held_table(self) -> FeatureTable:
        features, labels = self.features[self.held_out], self.labels[self.held_out]
        names = tuple(str(number) for number in range(len(labels)))
        return FeatureTable(features, labels, np.zeros_like(labels), names)


def plane_panels(records: tuple[ImageRecord, ...], settings: PlaneSettings | None = None) -> list[Panel]:
    """Train the four networks and return five panels: f_t of each, and f_i of the one with BNNeck.

    On a CPU, with as many threads, the same settings give the same features.

    Raises:
        InputError: fewer identities than wanted have 6 pictures, or a picture can't be read.
    """
    settings = PlaneSettings() if settings is None else settings
    chosen, labels = _chosen(records, settings.identities)
    pictures = DecodedStore.build(chosen, settings.height, settings.height // 2, None).pictures
    places = np.concatenate([np.arange(count) for count in np.bincount(labels)])
    held_out = places % _HELD_OUT == _HELD_OUT - 1
    panels = []
    for supervision in SUPERVISIONS:
        network = train_plane(pictures[~held_out], labels[~held_out], supervision, settings)
        with torch.no_grad():
            output = network(normalize(torch.from_numpy(pictures)))
        classifier = tuple(
            part.detach().numpy() if part is not None else np.zeros(settings.identities, dtype=np.float32)
            for part in (network.classifier.weight, network.classifier.bias)
        )
        for title, feature, seen in _titles(supervision):
            values = (output.pooled if feature == "f_t" else output.feature).numpy()
            panels.append(Panel(title, values, labels, held_out, (classifier[0], classifier[1]) if seen else None))
    return panels


def train_plane(
    pictures: Pictures, labels: Labels, supervision: Supervision, settings: PlaneSettings
) -> PlaneNetwork:
    """Train one network on pictures (n, h, w, 3) with labels (n,) from 0; it comes back in evaluation mode."""
    identities = int(labels.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = PlaneNetwork(settings.backbone, identities, bnneck=supervision == "bnneck")
    network.to(memory_format=torch.channels_last)
    batches = Batches(
        pictures,
        labels,
        p=identities,
        k=settings.images,
        augmentation=Augmentation(pad=settings.height // 32, erasing=0),
        seed=settings.seed,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr, weight_decay=5e-4)
    stream = (batch for epoch in range(settings.steps) for batch in batches.epoch(epoch))
    for step, (images, whose) in zip(range(1, settings.steps + 1), stream, strict=False):
        factor = learning_rate(step, warmup_epochs=settings.steps // 10, schedule="cosine", epochs=settings.steps)
        optimizer.param_groups[0]["lr"] = settings.lr * factor
        output = network(images)
        terms = []
        if supervision != "triplet":
            terms.append(identity_loss(output.logits, whose, 0))
        if supervision != "identity":
            terms.append(batch_hard_triplet(output.pooled, whose, settings.margin))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def _titles(supervision: Supervision) -> list[tuple[str, Literal["f_t", "f_i"], bool]]:
    """Of each panel: its title, which feature it shows, and whether ID loss sees that feature."""
    return {
        "identity": [("ID loss", "f_t", True)],
        "triplet": [("triplet loss", "f_t", False)],
        "both": [("ID + triplet loss", "f_t", True)],
        "bnneck": [("ID + triplet, BNNeck: f_t", "f_t", False), ("ID + triplet, BNNeck: f_i", "f_i", True)],
    }[supervision]  # type: ignore[return-value]


def _chosen(records: tuple[ImageRecord, ...], count: int) -> tuple[list[ImageRecord], Labels]:
    """The records of the `count` identities with the most pictures, and their labels from 0."""
    of_identity: dict[int, list[ImageRecord]] = {}
    for record in records:
        of_identity.setdefault(record.identity, []).append(record)
    enough = [group for group in of_identity.values() if len(group) >= _LEAST_PICTURES]
    if len(enough) < count:
        raise InputError(
            f"{len(enough)} of {len(of_identity)} training identities have at least {_LEAST_PICTURES} pictures, and "
            f"the figure is to show {count}: ask for fewer with --identities, or take a larger data set."
        )
    enough.sort(key=lambda group: (-len(group), group[0].identity))
    chosen = [record for group in enough[:count] for record in group]
    return chosen, np.repeat(np.arange(count), [len(group) for group in enough[:count]])


def plane_table(panels: list[Panel]) -> str:
    """What each panel measures, as plain text."""
    head = ["", "mAP Euclidean", "mAP cosine", "spread", "length varies by"]
    rows = [
        [
            panel.title,
            *(percent(panel.mean_ap(metric)) for metric in ("euclidean", "cosine")),
            f"{panel.spread():.2f}",
            f"{100 * panel.length_variation():.0f} %",
        ]
        for panel in panels
    ]
    return text_table(head, rows)


def draw_plane(panels: list[Panel], path: str | Path) -> None:
    """Draw the panels of `plane_panels`, the classifier's regions behind the features that ID loss sees.

    Raises:
        InputError: the file can't be written.
    """
    with drawing(path, 9, 6.6) as figure:
        set_gaps(figure, 0.09, 0.02)
        grid = figure.subplots(2, 3).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _draw_panel(axes, panel)
        handles = [
            grid[0].plot([], [], "o", color=INK, markersize=4, label="trained on")[0],
            grid[0].plot([], [], "o", color=INK, markersize=5.5, fillstyle="none", label="held out")[0],
        ]
        for axes in grid[len(panels) :]:
            bare(axes)
        grid[-1].legend(handles=handles, loc="center left", title=_NOTE, alignment="left", fontsize=9)


_NOTE = "Colour and form: the identity.\nLight areas: what the classifier\nnames there. The cross: (0, 0).\n"


def _draw_panel(axes: Axes, panel: Panel) -> None:
    low, high = panel.features.min(axis=0), panel.features.max(axis=0)
    middle, half = (low + high) / 2, 0.56 * max(float((high - low).max()), 1e-6)
    across, down = (np.linspace(centre - half, centre + half, _GRID, dtype=np.float32) for centre in middle)
    regions = panel.regions(across, down)
    if regions is not None:
        from matplotlib.colors import ListedColormap

        colours = ListedColormap(list(COLOURS))
        axes.pcolormesh(
            across, down, regions, cmap=colours, vmin=-0.5, vmax=len(COLOURS) - 0.5, alpha=0.13, rasterized=True
        )
    for label in np.unique(panel.labels).tolist():
        colour = COLOURS[label]
        fill: Any = {False: {"color": colour}, True: {"facecolors": "none", "edgecolors": colour}}
        for held, size in ((False, 14), (True, 22)):
            x, y = panel.features[(panel.labels == label) & (panel.held_out == held)].T
            axes.scatter(x, y, s=size, marker=MARKERS[label], linewidths=0.9, **fill[held])
    axes.grid(visible=False)
    axes.plot(0, 0, "+", color=INK, markersize=9)
    axes.set(xlim=across[[0, -1]], ylim=down[[0, -1]], aspect="equal", title=panel.title)
    euclidean, cosine = 100 * panel.mean_ap("euclidean"), 100 * panel.mean_ap("cosine")
    axes.set_xlabel(
        f"held-out mAP: Euclidean {euclidean:.0f}, cosine {cosine:.0f}\n"
        f"spread {panel.spread():.2f}, length varies by {100 * panel.length_variation():.0f} %",
        fontsize=8,
    )
