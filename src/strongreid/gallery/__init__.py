"""Galleries: enrol features, search them, say "unknown", forget. `docs/gallery.md` is the guide."""

from strongreid.gallery.conditions import Only
from strongreid.gallery.gallery import Gallery
from strongreid.gallery.info import GalleryInfo
from strongreid.gallery.listing import Entry, EntryPage
from strongreid.gallery.result import UNKNOWN, Match, SearchResult

__all__ = ["UNKNOWN", "Entry", "EntryPage", "Gallery", "GalleryInfo", "Match", "Only", "SearchResult"]
