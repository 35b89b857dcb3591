"""Films to cut people from: folders of pictures, also in the layout of MOT Challenge, and video files."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from strongreid.data.images import Pictures, decode_whole
from strongreid.data.readers import PICTURE_SUFFIXES
from strongreid.errors import InputError

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"})


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a film."""

    number: int
    """Counted from 1, as boxes count it."""
    time: float | None
    """Seconds from the film's first frame; None where the frame rate is unknown."""
    pixels: Pictures
    """(height, width, 3) RGB."""


class Film(Protocol):
    """Frames in their order."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def numbers(self) -> range | tuple[int, ...]:
        """The numbers of its frames, ascending; of a video up to the count that its header claims."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its first frame, in pixels."""

    def frames(self, wanted: Collection[int] | None = None) -> Iterator[Frame]:
        """The frames of the wanted numbers, or all, in order; one is in memory at a time.

        Raises:
            InputError: a frame can't be read.
        """


@dataclass(frozen=True)
class Shot:
    """A film with what is to be known about it."""

    path: Path
    """Of the pictures or the video."""
    folder: Path
    """Where boxes of a relative path are looked for."""
    camera: int
    start: float | None
    """Seconds of its first frame; None where unknown."""

    def open(self, fps: float | None = None) -> Film:
        """The film, as `open_film`."""
        return open_film(self.path, fps)


def find_shots(source: str | Path, *, camera: int | None = None, start: float | None = None) -> tuple[Shot, ...]:
    """What there is to cut from in `source`, in the order of the cameras.

    A video or a folder of pictures is one shot. A folder with `img1` (MOT Challenge) is one, whose frame rate is in
    `seqinfo.ini`. A folder of such folders is a shot each: cameras and starts are those of `scene.json` where
    `strongreid scene` wrote one, otherwise cameras are counted from 1 by name and films start together at `start`.

    Args:
        source: a video, a folder of pictures, or folders in the layout of MOT Challenge.
        camera: of a single shot; None is 1.
        start: seconds of the first frame.

    Raises:
        InputError: there is nothing to cut from, or `camera` is given for several shots.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such video or folder; check the path.")
    if camera is not None and camera < 0:
        raise InputError(f"a camera is a whole number from 0, got {camera}.")
    single = 1 if camera is None else camera
    if source.is_file():
        return (Shot(source, source.parent, single, start),)
    if (source / "img1").is_dir():
        return (Shot(source / "img1", source, single, start),)
    if any(_is_picture(path) for path in source.iterdir()):
        return (Shot(source, source, single, start),)
    folders = sorted(path.parent for path in source.glob("*/img1") if path.is_dir())
    if not folders:
        raise InputError(
            f"{source}: no pictures in it and no folders with img1; give a video, a folder of frames, or folders in "
            "the layout of MOT Challenge."
        )
    if camera is not None:
        raise InputError(f"{source} holds {len(folders)} films, so they have no one camera; leave --camera out.")
    known = _scene(source) if start is None else {}
    places = {folder: known.get(folder.name, (number, start)) for number, folder in enumerate(folders, start=1)}
    return tuple(Shot(folder / "img1", folder, *places[folder]) for folder in sorted(folders, key=places.get))  # type: ignore[arg-type]


def open_film(path: str | Path, fps: float | None = None) -> Film:
    """A folder of pictures, or a video (extra `video`).

    Pictures whose names are whole numbers, such as 000001.jpg, have these as frame numbers; others are counted from 1
    by name.

    Args:
        path: of the folder or the video file.
        fps: frames a second, in place of what `seqinfo.ini` or the video says.

    Raises:
        InputError: there are no pictures, the video can't be opened, or `fps` is not above 0.
        ModuleNotFoundError: a video, and opencv is missing; the message says what to install.
    """
    path = Path(path)
    if fps is not None and not 0 < fps <= 10_000:
        raise InputError(f"fps is {fps}; allowed is a number of frames a second above 0.")
    return PictureFilm(path, fps) if path.is_dir() else VideoFilm(path, fps)


class PictureFilm:
    """A folder of pictures as a film."""

    def __init__(self, folder: Path, fps: float | None = None) -> None:
        files = sorted(path for path in folder.iterdir() if _is_picture(path))
        if not files:
            raise InputError(f"{folder}: no pictures in it; frames end in {', '.join(sorted(PICTURE_SUFFIXES))}.")
        numbers = [int(path.stem) for path in files if re.fullmatch(r"[0-9]{1,12}", path.stem)]
        if len(set(numbers)) == len(files):
            self._files = dict(sorted(zip(numbers, files, strict=True)))
        else:
            self._files = dict(enumerate(files, start=1))
        self.name = str(folder)
        self._fps = fps or _frame_rate(folder.parent / "seqinfo.ini")

    @property
    def numbers(self) -> tuple[int, ...]:
        """As `Film`."""
        return tuple(self._files)

    @property
    def size(self) -> tuple[int, int]:
        """As `Film`."""
        height, width = decode_whole(next(iter(self._files.values()))).shape[:2]
        return width, height

    def frames(self, wanted: Collection[int] | None = None) -> Iterator[Frame]:
        """As `Film`."""
        for number, path in self._files.items():
            if wanted is None or number in wanted:
                time = None if self._fps is None else (number - 1) / self._fps
                yield Frame(number, time, decode_whole(path))


class VideoFilm:
    """A video file, decoded by opencv."""

    def __init__(self, path: Path, fps: float | None = None) -> None:
        self.name, self._path, self._fps = str(path), path, fps
        cv2 = _opencv()
        capture = self._capture()
        self._count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        self._rate = fps or (rate if np.isfinite(rate) and rate > 0 else None)
        capture.release()

    @property
    def numbers(self) -> range:
        """As `Film`."""
        return range(1, max(self._count, 0) + 1)

    def frames(self, wanted: Collection[int] | None = None) -> Iterator[Frame]:
        """As `Film`; the frame's time is the file's own where it has one and `fps` was not given."""
        cv2 = _opencv()
        capture, number, last = self._capture(), 0, -1.0
        end = None if wanted is None else max(wanted, default=0)
        try:
            while end is None or number < end:
                if not capture.grab():
                    break
                number += 1
                stamp = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
                if wanted is not None and number not in wanted:
                    continue
                got, pixels = capture.retrieve()
                if not got:
                    raise InputError(
                        f"{self.name}: frame {number} can't be decoded; mend the video, or cut it there."
                    )
                time = self._time(number, stamp if stamp > last else None)
                last = stamp
                yield Frame(number, time, _rgb(pixels))
        finally:
            capture.release()
        if number == 0 or (end is None and number < 0.9 * self._count):
            raise InputError(
                f"{self.name}: only {number} of {self._count} frames can be read; mend the video, or cut it there."
            )

    def _time(self, number: int, stamp: float | None) -> float | None:
        if self._fps is None and stamp is not None:
            return stamp
        return None if self._rate is None else (number - 1) / self._rate

    def _capture(self) -> Any:
        capture = _opencv().VideoCapture(str(self._path))
        if not capture.isOpened():
            raise InputError(f"{self.name}: opencv can't open this as a video; give a video, or a folder of frames.")
        return capture


def _opencv() -> Any:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("videos need opencv: pip install 'strongreid[video]'", name="cv2") from error
    return cv2


def _rgb(pixels: NDArray[Any]) -> Pictures:
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2).astype(np.uint8)
    return np.ascontiguousarray(pixels[:, :, 2::-1])


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _frame_rate(path: Path) -> float | None:
    """The frame rate of a `seqinfo.ini`; None where there is none."""
    if not path.is_file():
        return None
    parser = configparser.ConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        rate = float(parser["Sequence"]["frameRate"])
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError, ValueError) as error:
        raise InputError(f"{path} does not tell a frame rate ({error}); mend it, or give --fps.") from error
    if not 0 < rate <= 10_000:
        raise InputError(f"{path} tells a frame rate of {rate:g}; mend it, or give --fps.")
    return rate


def _scene(root: Path) -> dict[str, tuple[int, float]]:
    """Camera and start of each film of a generated scene."""
    path = root / "scene.json"
    if not path.is_file():
        return {}
    try:
        films = json.loads(path.read_text(encoding="utf-8"))["sequences"]
        return {str(film["name"]): (int(film["camera"]), float(film["start"])) for film in films}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error!r}); generate the scene again.") from error
