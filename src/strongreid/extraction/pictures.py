"""What may be given as a picture, and how it becomes what a network takes: (n, height, width, 3) uint8."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from strongreid.data.images import Pictures, decode, decode_whole, default_threads, resize
from strongreid.errors import InputError

Picture = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
"""A path, the bytes of a JPEG, PNG, BMP or WebP file, a PIL picture, or an (h, w, 3) uint8 RGB array of any size."""
_FEW = 8  # pictures for which starting threads is not worth it


def as_list(pictures: Picture | Sequence[Picture]) -> Sequence[Picture]:
    """One picture or several as a sequence; an array (n, h, w, 3) is n pictures."""
    if isinstance(pictures, np.ndarray):
        return list(pictures) if pictures.ndim == 4 else [pictures]
    if isinstance(pictures, (str, Path, bytes, Image.Image)):
        return [pictures]
    return pictures


def prepare(pictures: Sequence[Picture], height: int, width: int) -> Pictures:
    """The pictures in a network's size, (n, height, width, 3); files are decoded in threads.

    Raises:
        InputError: a picture can't be read, or an array is not (h, w, 3) uint8.
    """
    if len(pictures) <= _FEW:
        found = [prepare_one(picture, height, width) for picture in pictures]
    else:
        with ThreadPoolExecutor(default_threads()) as pool:
            found = list(pool.map(lambda picture: prepare_one(picture, height, width), pictures))
    return np.stack(found) if found else np.empty((0, height, width, 3), dtype=np.uint8)


def prepare_one(picture: Picture, height: int, width: int) -> Pictures:
    """One picture, (height, width, 3).

    Raises:
        InputError: as `prepare`.
    """
    if isinstance(picture, (str, Path, bytes)):
        return decode(picture, height, width)
    return resize(Image.fromarray(_checked(picture)) if isinstance(picture, np.ndarray) else picture, height, width)


def cut(frame: Picture, boxes: npt.ArrayLike) -> list[Pictures]:
    """The parts of a frame that boxes enclose, clipped to it, each (h, w, 3).

    Args:
        frame: any picture, taken in its own size.
        boxes: (n, 4): left, top, width and height in pixels, edges rounded to whole ones.

    Raises:
        InputError: the frame can't be read, the boxes have another shape or are not finite, or one has no pixel in
            the frame.
    """
    whole = _whole(frame)
    height, width = whole.shape[:2]
    try:
        values = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"boxes are numbers (n, 4): left, top, width, height; got {boxes!r}.") from error
    if not values.size:
        return []
    if values.ndim != 2 or values.shape[1] != 4 or not np.isfinite(values).all():
        raise InputError(
            f"boxes are finite numbers (n, 4): left, top, width, height; got shape {values.shape}"
            + (" with NaN or infinity." if values.ndim == 2 and values.shape[1] == 4 else ".")
        )
    edges = np.column_stack([values[:, :2], values[:, :2] + values[:, 2:]])
    limits = [width, height, width, height]
    left, top, right, bottom = np.clip(np.rint(edges), 0, limits).astype(np.int64).T
    empty = np.flatnonzero((right <= left) | (bottom <= top))
    if empty.size:
        row = int(empty[0])
        x, y, w, h = values[row].tolist()
        raise InputError(
            f"{empty.size} of {len(values)} boxes have no pixel in the frame of {width} x {height}, the first being "
            f"box {row}: left {x:g}, top {y:g}, width {w:g}, height {h:g}. Leave such boxes out."
        )
    return [whole[top[row] : bottom[row], left[row] : right[row]] for row in range(len(values))]


def _whole(frame: Picture) -> Pictures:
    if isinstance(frame, (str, Path, bytes)):
        return decode_whole(frame)
    if isinstance(frame, np.ndarray):
        return _checked(frame)
    return resize(frame, frame.height, frame.width)


def _checked(array: npt.NDArray[Any]) -> Pictures:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise InputError(f"a picture array must be (h, w, 3) uint8 RGB, got {array.dtype} {array.shape}.")
    return array
