"""Walking through a camera's view: the ground in metres, its perspective, and where a person is at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import Camera, Pixels
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.ground import FOCAL
from strongreid.synthetic.passage import Passage
from strongreid.synthetic.scene import Scene
from strongreid.synthetic.skeleton import JOINTS, Stance

_NEAREST = 2.5  # metres: nobody comes closer to the camera
_LEAST_PIXELS = 20  # of a frame 720 high: smaller people are not drawn
_ROOM = 0.6  # metres between two people's middles, and from a person to furniture in front or behind
_GLANCE = 1.5  # seconds from one turn of the head to the next


class Lens:
    """How a camera maps the ground to a frame of `width` x `height` pixels.

    A pinhole that looks level, with its horizon moved up: a point `x` metres to the right, `y` above the ground
    and `z` ahead is at (middle + focal x / z, horizon + focal (camera_height - y) / z).
    """

    def __init__(self, camera: Camera, width: int, height: int) -> None:
        scene = camera.scene
        # The scene fills the frame; of what is too much, more goes at the top than at the bottom.
        scale = max(width / scene.image.width, height / scene.image.height)
        self.width, self.height, self.scale = width, height, scale
        self.side = (scene.image.width * scale - width) / 2
        """Frame pixels of the scene's picture beyond the left edge."""
        self.above = 0.7 * (scene.image.height * scale - height)
        """Frame pixels of the scene's picture beyond the upper edge."""
        self.focal = FOCAL * scale
        self.middle = width / 2
        self.horizon = scene.horizon * scale - self.above
        self.camera_height = scene.camera_height
        self.farthest = min(self.focal * 1.7 / (_LEAST_PIXELS * height / 720), scene.depth)
        """Metres ahead; whoever is farther off, or has gone in at the far side, is not drawn."""

    def background(self, image: Image.Image) -> Pixels:
        """(height, width, 3): the scene's picture in the frame."""
        box = (self.side, self.above, self.side + self.width, self.above + self.height)
        left, top, right, bottom = (math.floor(edge / self.scale * 16) / 16 for edge in box)
        box = (left, top, min(right, image.width), min(bottom, image.height))
        return np.asarray(image.resize((self.width, self.height), Image.Resampling.BILINEAR, box=box))

    def ahead(self, row: float) -> float:
        """Metres from the camera to the ground that is seen in `row`; infinite from the horizon up."""
        below = row - self.horizon
        return self.focal * self.camera_height / below if below > 0 else math.inf

    def density(self, pixels: float) -> float:
        """Of the surfels of a person who is `pixels` tall in the scene's own picture."""
        return min(max(2.1 * pixels * self.scale / 256, 0.4), 1.45)


@dataclass(frozen=True)
class Footing:
    """Where a walker is at a time, and how the camera sees them."""

    x: float
    """Metres to the right of the camera's axis."""
    z: float
    """Metres ahead of the camera."""
    azimuth: float
    """Radians to the right of the camera's axis."""
    elevation: float
    """Of the camera above the walker, in radians."""
    yaw: float
    """Radians; 0 comes towards the camera, as it is seen: relative to the line of sight."""
    stance: Stance


class Walk:
    """One person on a straight line over the ground, at an even pace that fits the steps."""

    def __init__(self, identity: int, body: Body, passage: Passage, lens: Lens, middle: float, dice: Dice) -> None:
        """At `middle` seconds the walker is where the passage says: its place, size and yaw in the scene."""
        self.identity, self.body, self.passage = identity, body, passage
        self._lens, self._middle = lens, middle
        self.z = FOCAL * body.person.height / passage.pixels
        self.x = (passage.foot[0] - passage.camera.scene.image.width / 2) * self.z / FOCAL
        heading = passage.yaw - math.atan2(self.x, self.z)
        self.cadence = 4.4 + 1.4 * passage.pace
        """Radians of the double step a second."""
        self.speed = self.cadence * _metres_per_radian(body, passage.swing)
        """Metres a second."""
        self._heading = heading
        self._step = (self.speed * math.sin(heading), -self.speed * math.cos(heading))
        self._glances = [dice.normal(0, 0.2) for _ in range(16)]

    def at(self, seconds: float) -> Footing:
        """Where the walker is, in seconds of the film; at an even pace, so `x`, `z` and phase are linear in time."""
        past = seconds - self._middle
        x, z = self.x + past * self._step[0], self.z + past * self._step[1]
        azimuth = math.atan2(x, z)
        distance = math.hypot(x, z)
        stance = Stance(
            self.passage.phase + past * self.cadence, self.passage.swing, self._glance(seconds), self.passage.raised
        )
        elevation = math.atan2(self._lens.camera_height - 0.5 * self.body.person.height, distance)
        return Footing(x, z, azimuth, elevation, self._heading + azimuth, stance)

    def _glance(self, seconds: float) -> float:
        """The turn of the head: from one drawn angle to the next, evenly."""
        place = seconds / _GLANCE
        turn = math.floor(place)
        here, there = (self._glances[(turn + step) % len(self._glances)] for step in (0, 1))
        return here + (there - here) * (place - turn)

    def stays_on(self, scene: Scene, seconds: float) -> bool:
        """Whether the walker then stands on ground to walk on, or too far off to be seen."""
        here = self.at(seconds)
        return scene.walkable(here.x, here.z) or not self.drawn(here)

    def bumps(self, seconds: float, others: Sequence[Walk], scene: Scene) -> bool:
        """Whether the walker then stands in one of the others or in the scene's furniture, and can be seen to."""
        here = self.at(seconds)
        if not self.drawn(here):
            return False
        for there in (other.at(seconds) for other in others):
            if math.hypot(here.x - there.x, here.z - there.z) < _ROOM:
                return True
        column = scene.image.width / 2 + FOCAL * here.x / here.z
        for piece in scene.furniture:
            away = abs(FOCAL * scene.camera_height / (piece.row - scene.horizon) - here.z)
            side = 0.5 * _ROOM * FOCAL / here.z
            if away < _ROOM and piece.left - side < column < piece.left + piece.outline.width + side:
                return True
        return False

    def drawn(self, footing: Footing) -> bool:
        """Whether any of the walker can be in the frame: near enough, not too near, not far to the side."""
        if not _NEAREST <= footing.z <= self._lens.farthest:
            return False
        reach = 1.1 * self._lens.focal / footing.z
        column = self._lens.middle + self._lens.focal * footing.x / footing.z
        top = self._lens.horizon + self._lens.focal * (self._lens.camera_height - 2.1) / footing.z
        return -reach < column < self._lens.width + reach and top < self._lens.height

    def inside(self, footing: Footing) -> bool:
        """Whether the walker, from head to foot, is well inside the frame."""
        lens = self._lens
        if not _NEAREST <= footing.z <= lens.farthest:
            return False
        scale = lens.focal / footing.z
        column = lens.middle + scale * footing.x
        top, bottom = (lens.horizon + scale * (lens.camera_height - y) for y in (2.0, -0.05))
        return 0.45 * scale < column < lens.width - 0.45 * scale and top > 0 and bottom < lens.height


def _metres_per_radian(body: Body, swing: float) -> float:
    """How far a step of one radian carries: as far as the standing foot moves back under the body."""
    ankle = tuple(JOINTS).index("left ankle")
    ahead, behind = (
        body.joints(Stance(phase, swing), 0.0, 0.0)[ankle, 2] for phase in (math.pi / 2, 3 * math.pi / 2)
    )
    return abs(float(ahead - behind)) / math.pi


def even_light(passage: Passage) -> Passage:
    """The passage's light without the shade that falls on a single walker."""
    return replace(passage, shade_left=1.0, dapples=None)
