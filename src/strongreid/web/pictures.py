"""Pictures from people we don't know: checked by their header, decoded within limits, cut to a box."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from strongreid.data.images import FORMATS, rgb
from strongreid.web.limits import Limits, RefusedError

LEAST = 4
"""Pixels that a picture or box has each way, at least."""


class Box(NamedTuple):
    """A part of a picture, in pixels of the picture as it is seen upright."""

    left: int
    top: int
    width: int
    height: int


def read_box(text: str) -> Box | None:
    """LEFT,TOP,WIDTH,HEIGHT in whole pixels, or nothing for the whole picture.

    Raises:
        RefusedError: it is something else.
    """
    if not text.strip():
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
        box = Box(*numbers)
    except (ValueError, TypeError) as error:
        raise RefusedError(f"a box is LEFT,TOP,WIDTH,HEIGHT in whole pixels, got {text[:60]!r}.", 422) from error
    if box.left < 0 or box.top < 0 or box.width < LEAST or box.height < LEAST:
        raise RefusedError(
            f"a box begins inside the picture and has {LEAST} pixels or more each way, got {text!r}.", 422
        )
    return box


def read_picture(data: bytes, what: str, limits: Limits, box: Box | None = None) -> Image.Image:
    """Decode an upload to RGB, upright (EXIF), without metadata; `box` is cut out.

    Args:
        data: the file.
        what: what to call it in messages; never a name from the client.
        limits: bytes, pixels and scans.
        box: the part that is wanted.

    Raises:
        RefusedError: it is empty, too large, no JPEG, PNG, WebP or BMP, damaged, or the box lies outside.
    """
    if not data:
        raise RefusedError(f"{what} is empty; choose the file again.", 422)
    if len(data) > limits.picture_bytes:
        raise RefusedError(
            f"{what} has {len(data) / 1e6:.1f} MB, and {limits.picture_bytes / 1e6:g} MB are allowed; cut the person "
            "out of it, or save it smaller.",
            413,
        )
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check(image, data, what, limits)
            image.load()
            picture = rgb(_upright(image))
    except RefusedError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RefusedError(_too_many(what, limits), 413) from error
    except UnidentifiedImageError as error:
        raise RefusedError(f"{what} is not a JPEG, PNG, WebP or BMP picture; choose another file.", 415) from error
    except MemoryError as error:
        raise RefusedError(f"there is not enough memory for {what}; make it smaller.", 413) from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise RefusedError(f"{what} is damaged or cut short and can't be read; choose another file.", 422) from error
    if box is None:
        return picture
    if box.left + box.width > picture.width or box.top + box.height > picture.height:
        raise RefusedError(
            f"the box {','.join(map(str, box))} reaches beyond {what}, which has {picture.width} x {picture.height} "
            "pixels.",
            422,
        )
    return picture.crop((box.left, box.top, box.left + box.width, box.top + box.height))


def _check(image: Image.Image, data: bytes, what: str, limits: Limits) -> None:
    """Refuse by what the header says, before anything is decoded."""
    if image.width * image.height > limits.picture_pixels:
        raise RefusedError(_too_many(what, limits), 413)
    if image.width < LEAST or image.height < LEAST:
        raise RefusedError(f"{what} has {image.width} x {image.height} pixels: nobody can be seen in it.", 422)
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > limits.picture_scans:
        raise RefusedError(f"{what} is a JPEG of more scans than any camera writes; save it anew.", 422)


def _too_many(what: str, limits: Limits) -> str:
    return f"{what} has more than {limits.picture_pixels / 1e6:g} million pixels; make it smaller first."


def thumbnail(picture: Image.Image, size: int) -> bytes:
    """A JPEG of at most `size` pixels each way, without metadata."""
    small = Image.new("RGB", picture.size)  # nothing but pixels is carried over
    small.paste(picture)
    small.thumbnail((size, size), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=86)
    return file.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; as it is where that can't be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is a format of its own, with as many ways to be broken
        return image
