"""Scenes as folders in the layout of MOT Challenge: frames, true boxes, and what a detector would find."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from strongreid.errors import InputError
from strongreid.files import atomic_folder, recover_folder, write_json
from strongreid.synthetic.dice import GENERATOR_VERSION, Dice, Stream
from strongreid.synthetic.film import Frame, Seen
from strongreid.synthetic.street import SceneSettings, render_scene, scene_people
from strongreid.synthetic.truth import attributes

GENERATOR_NAME = "strongreid.synthetic.scene"
MANIFEST = "scene.json"

FOUND_FROM = 0.3
"""Whoever is less visible than this is never detected."""

_JPEG_QUALITY = 92


@dataclass(frozen=True)
class Detection:
    """One box of a detector, in pixels from the frame's left upper corner, inside the frame."""

    left: float
    top: float
    width: float
    height: float
    confidence: float
    """0 to 1."""


def sequence_name(camera: int) -> str:
    """The folder of one camera's film."""
    return f"scene-c{camera}"


def write_scene(root: str | Path, settings: SceneSettings | None = None, *, progress: bool = False) -> dict[str, Any]:
    """Write a folder per camera to `root` and return the manifest; a complete scene of these settings is kept.

    Raises:
        InputError: `root` holds something else, or cannot be written.
    """
    root, settings = Path(root), settings or SceneSettings()
    recover_folder(root)
    finished = _read_finished(root, settings)
    if finished is not None:
        return finished
    with atomic_folder(root, durable=False) as folder:
        films = [_Sequence(folder, settings, camera) for camera in range(1, settings.cameras + 1)]
        total = settings.cameras * settings.frames
        for frame in tqdm(render_scene(settings), total=total, unit="frame", disable=not progress, file=sys.stderr):
            films[frame.camera - 1].add(frame)
        manifest = {
            "generator": GENERATOR_NAME,
            "version": GENERATOR_VERSION,
            "settings": asdict(settings),
            "people": {str(k): attributes(person) for k, person in enumerate(scene_people(settings), start=1)},
            "sequences": [film.finish() for film in films],
        }
        write_json(folder / MANIFEST, manifest)
    return manifest


def detect(frame: Frame, settings: SceneSettings) -> list[Detection]:
    """What a detector of the settings' quality finds in a frame: no identities, misses, false alarms."""
    dice = Dice(settings.seed, Stream.DETECTOR, frame.camera, frame.number)
    size = (frame.pixels.shape[1], frame.pixels.shape[0])
    found = []
    for seen in frame.people:
        # Each person has draws of their own: a miss does not change what is found of the others.
        own = Dice(settings.seed, Stream.DETECTOR, frame.camera, frame.number, seen.identity)
        hidden = 1.0 - seen.visibility
        missed = own.chance(min(1.0, settings.misses * (1 + 4 * hidden)))
        box = _shake(seen, settings.box_noise, own)
        confidence = min(max(own.normal(0.95 - 0.5 * hidden, 0.04), 0.3), 1.0)
        if seen.visibility >= FOUND_FROM and not missed:
            found.append(_inside(box, confidence, size))
    count = int(settings.false_alarms) + dice.chance(settings.false_alarms % 1.0)
    for _ in range(count):
        tall = dice.uniform(0.1, 0.4) * size[1]
        wide = tall * dice.uniform(0.3, 0.5)
        box = (dice.uniform(0, size[0] - wide), dice.uniform(0, size[1] - tall), wide, tall)
        found.append(_inside(box, dice.uniform(0.3, 0.7), size))
    return [detection for detection in found if detection.width >= 1 and detection.height >= 1]


def _shake(seen: Seen, noise: float, dice: Dice) -> tuple[float, float, float, float]:
    """Left, top, width and height with every edge moved a little."""
    left = seen.left + seen.width * dice.normal(0, noise)
    right = seen.left + seen.width * (1 + dice.normal(0, noise))
    top = seen.top + seen.height * dice.normal(0, noise)
    bottom = seen.top + seen.height * (1 + dice.normal(0, noise))
    return left, top, right - left, bottom - top


def _inside(box: tuple[float, float, float, float], confidence: float, size: tuple[int, int]) -> Detection:
    left, top = max(0.0, box[0]), max(0.0, box[1])
    right, bottom = min(box[0] + box[2], float(size[0])), min(box[1] + box[3], float(size[1]))
    return Detection(left, top, right - left, bottom - top, confidence)


class _Sequence:
    """One camera's folder while it is being written."""

    def __init__(self, root: Path, settings: SceneSettings, camera: int) -> None:
        self._settings, self._camera = settings, camera
        self._name = sequence_name(camera)
        self._folder = root / self._name
        for part in ("img1", "gt", "det"):
            (self._folder / part).mkdir(parents=True)
        self._truth: list[str] = []
        self._found: list[str] = []
        self._digest = hashlib.sha256()

    def add(self, frame: Frame) -> None:
        """Write one frame, and note its boxes; as in MOT Challenge, the left upper pixel is (1, 1)."""
        Image.fromarray(frame.pixels).save(self._folder / "img1" / f"{frame.number:06d}.jpg", quality=_JPEG_QUALITY)
        self._digest.update(frame.pixels.tobytes())
        for seen in frame.people:
            box = f"{seen.left + 1},{seen.top + 1},{seen.width},{seen.height}"
            self._truth.append(f"{frame.number},{seen.identity},{box},1,1,{seen.visibility:.4f}\n")
        for found in detect(frame, self._settings):
            box = f"{found.left + 1:.2f},{found.top + 1:.2f},{found.width:.2f},{found.height:.2f}"
            self._found.append(f"{frame.number},-1,{box},{found.confidence:.3f},-1,-1,-1\n")

    def finish(self) -> dict[str, Any]:
        """Write the tables; returns the manifest's row."""
        settings = self._settings
        _write(self._folder / "gt" / "gt.txt", self._truth)
        _write(self._folder / "det" / "det.txt", self._found)
        about = {
            "name": self._name, "imDir": "img1", "frameRate": settings.fps, "seqLength": settings.frames,
            "imWidth": settings.width, "imHeight": settings.height, "imExt": ".jpg",
        }  # fmt: skip
        _write(self._folder / "seqinfo.ini", ["[Sequence]\n", *(f"{key}={value}\n" for key, value in about.items())])
        return {
            "name": self._name,
            "camera": self._camera,
            "start": round(settings.start(self._camera), 3),
            "boxes": len(self._truth),
            "detections": len(self._found),
            "sha256": self._digest.hexdigest(),
        }


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def _read_finished(root: Path, settings: SceneSettings) -> dict[str, Any] | None:
    """The manifest of the complete scene in `root`; None where a scene may be written."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        manifest: dict[str, Any] = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        same = (manifest["version"], manifest["settings"]) == (GENERATOR_VERSION, asdict(settings))
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    wanted = {MANIFEST}
    for camera in range(1, settings.cameras + 1):
        name = sequence_name(camera)
        wanted |= {f"{name}/gt/gt.txt", f"{name}/det/det.txt", f"{name}/seqinfo.ini"}
        wanted |= {f"{name}/img1/{number:06d}.jpg" for number in range(1, settings.frames + 1)}
    present = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    if same and wanted <= present:
        return manifest
    if not same or present - wanted:
        raise InputError(
            f"{root} already holds something other than the scene asked for: other settings, another generator "
            "version, or other files. Nothing was touched; choose another folder, or delete this one first."
        )
    return None
