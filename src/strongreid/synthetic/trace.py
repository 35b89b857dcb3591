"""What a picture notes down about the person in it while it is taken: the raw material of its truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image

from strongreid.synthetic.body import Body
from strongreid.synthetic.passage import Passage
from strongreid.synthetic.raster import Facing, Indices, Surfels, Window, count_pixels
from strongreid.synthetic.skeleton import Stance
from strongreid.synthetic.tube import Floats

Mask = npt.NDArray[np.bool_]

_SOLID = 128  # of 255: from here on, an outline with soft edges hides what is behind it
_BEHIND = 0.18
"""Metres by which a joint may lie behind the surface that is seen there and still count as seen: a thick limb."""
_NEAR = 2  # canvas pixels


@dataclass(frozen=True)
class _Pose:
    body: Body
    stance: Stance
    yaw: float
    passage: Passage


@dataclass(frozen=True)
class _Sight:
    """The person on the canvas, before anything came in front."""

    places: Floats
    facing: Facing
    window: Window
    shape: tuple[int, int]
    """Rows and columns."""
    pixels: Indices
    surfels: Surfels

    @property
    def shown(self) -> Mask:
        """(rows, columns)."""
        shown = np.zeros(self.shape, bool)
        shown.reshape(-1)[self.pixels] = True
        return shown

    @property
    def depth(self) -> Floats:
        """(rows, columns): metres towards the camera of what is shown."""
        depth = np.zeros(self.shape, np.float32)
        depth.reshape(-1)[self.pixels] = self.places[2].take(self.surfels)
        return depth


class Trace:
    """Handed to `photograph`, which fills it; then it answers."""

    def __init__(self) -> None:
        self.sensor = (0, 0)
        """Width and height of the picture in the camera's own pixels."""
        self._pose: _Pose | None = None
        self._sight: _Sight | None = None
        self._covered: Mask = np.zeros((0, 0), bool)
        self._is_covered = False

    def pose(self, body: Body, stance: Stance, yaw: float, passage: Passage) -> None:
        """Note who stands how."""
        self._pose = _Pose(body, stance, yaw, passage)

    def show(
        self,
        places: Floats,
        facing: Facing,
        window: Window,
        shape: tuple[int, ...],
        pixels: Indices,
        surfels: Surfels,
    ) -> None:
        """Note where the person is drawn; `pixels` and `surfels` are what `splat` returned."""
        self._sight = _Sight(places, facing, window, (shape[0], shape[1]), pixels, surfels)
        self._covered = np.zeros(shape[:2], bool)
        self._is_covered = False

    def cover(self, pixels: Indices) -> None:
        """Note flat numbers of pixels that something in front takes."""
        self._covered.reshape(-1)[pixels] = True
        self._is_covered = True

    def cover_by_cut_out(self, place: tuple[int, int], outline: Image.Image) -> None:
        """Note what stands in front with a grey outline, its left upper corner at `place`."""
        rows, columns = self._covered.shape
        whole = Image.new("L", (columns, rows))
        whole.paste(outline, place)
        self._covered |= np.asarray(whole) >= _SOLID
        self._is_covered = True

    @property
    def posed(self) -> _Pose:
        """Who stands how."""
        if self._pose is None:
            raise ValueError("the trace is empty: no picture of a person was taken with it")
        return self._pose

    @property
    def _seen(self) -> _Sight:
        if self._sight is None:
            raise ValueError("the trace is empty: no picture of a person was taken with it")
        return self._sight

    def areas(self) -> tuple[int, int, int]:
        """Canvas pixels of the whole body, of the part inside the picture, and of what is seen of that."""
        inside = seen = len(self._seen.pixels)
        if self._is_covered:
            seen -= int(np.count_nonzero(self._covered.reshape(-1).take(self._seen.pixels)))
        return max(inside, self._whole_area(inside)), inside, seen

    def _whole_area(self, inside: int) -> int:
        """Drawn again on a canvas that holds all of the body, where the picture cuts some of it off."""
        sight = self._seen
        (rows, columns), window, places = sight.shape, sight.window, sight.places
        left, right = ((float(x) - window.left) * window.across for x in (places[0].min(), places[0].max()))
        low, high = ((window.top - float(y)) * window.down for y in (places[1].max(), places[1].min()))
        if left > 0 and right < columns - 1 and low > 0 and high < rows - 1:
            return inside
        more_left, more_up = max(0, math.ceil(-left) + 1), max(0, math.ceil(-low) + 1)
        shape = max(rows, math.ceil(high) + 2) + more_up, max(columns, math.ceil(right) + 2) + more_left
        wider = Window(
            window.left - more_left / window.across, window.top + more_up / window.down, window.across, window.down
        )
        return count_pixels(sight.facing, wider, shape, self.posed.body.spacing)

    def mask(self, size: tuple[int, int]) -> Mask:
        """(height, width): the pixels of the finished picture that mostly show the person; `size` as Pillow's."""
        seen = Image.fromarray(np.where(self._seen.shown & ~self._covered, 255, 0).astype(np.uint8))
        image = seen.resize(self.sensor, Image.Resampling.BOX)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR)) >= _SOLID

    def joints(self, size: tuple[int, int]) -> tuple[Floats, Mask]:
        """(j, 2) x and y in pixels of the finished picture, (0, 0) its left upper corner, and (j,) visibility.

        A joint is visible if it is inside the picture and neither something in front nor the person's own body
        hides it.
        """
        pose, sight = self.posed, self._seen
        distance, window = pose.passage.distance, sight.window
        places = pose.body.joints(pose.stance, pose.yaw, pose.passage.elevation)
        scale = distance / (distance - places[:, 2])
        rows, columns = sight.shape
        depth = sight.depth
        across = (places[:, 0] * scale - window.left) * window.across
        down = (window.top - places[:, 1] * scale) * window.down
        inside = (across >= 0) & (across < columns) & (down >= 0) & (down < rows)
        plain = sight.shown & ~self._covered
        visible = np.zeros(len(places), bool)
        # The nearest pixel may be a gap at a seam or an edge: a few around it count too.
        for aside, below in product(range(-_NEAR, _NEAR + 1), repeat=2):
            row = np.clip(np.floor(down) + below, 0, rows - 1).astype(np.int64)
            column = np.clip(np.floor(across) + aside, 0, columns - 1).astype(np.int64)
            visible |= plain[row, column] & (depth[row, column] - places[:, 2] < _BEHIND)
        visible &= inside
        return np.stack([across * (size[0] / columns), down * (size[1] / rows)], axis=1), visible
