"""How much a request may ask for, and the error for what is refused."""

from __future__ import annotations

from dataclasses import dataclass

from strongreid.errors import InputError


class RefusedError(InputError):
    """A request that is refused, with its HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """What one request may take."""

    picture_bytes: int = 16_000_000
    picture_pixels: int = 25_000_000
    """Checked from the header, before anything is decoded: 75 MB as RGB."""
    picture_scans: int = 100
    """Of a JPEG: decoders go over the whole picture for each; usual files have 1 to 12."""
    pictures: int = 8
    """Of one person, in one request."""
    request_bytes: int = 40_000_000
    json_bytes: int = 64_000
    field_bytes: int = 4_000
    fields: int = 256
    requests: int = 8
    """With a body, under way at a time; more are told to come back."""
    decoding: int = 2
    """Pictures decoded at a time."""
    seconds: float = 60.0
    """For the body of a request to arrive."""
    login_seconds: float = 5.0
    """The same of a token, which is small, and which anybody may send."""
    top_k: int = 500
    results: int = 64
    """Latest results that are kept to be exported."""
