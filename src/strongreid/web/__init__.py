"""A page to search a gallery with, and its API: `create_app`; see `docs/web.md`. `strongreid serve` runs it."""

from strongreid.web.access import Access
from strongreid.web.app import create_app
from strongreid.web.limits import Limits
from strongreid.web.shown import PictureFolders

__all__ = ["Access", "Limits", "PictureFolders", "create_app"]
