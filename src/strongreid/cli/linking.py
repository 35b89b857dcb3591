"""The action that links tracks: gallery link."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from strongreid.cli.notes import read_notes
from strongreid.cli.parser import Parser, parse
from strongreid.errors import InputError

if TYPE_CHECKING:
    from strongreid.evaluation.calibration import Calibration
    from strongreid.gallery.linking import Tracks


def link(arguments: list[str]) -> int:
    """Put tracks of several cameras together into people, and write who is who."""
    parser = Parser(
        prog="strongreid gallery link",
        allow_abbrev=False,
        description="Put tracks of several cameras together into people.",
    )
    parser.add_argument("gallery", help="folder, http://HOST:6333/NAME, or a feature table")
    parser.add_argument("--output", required=True, help="CSV to write: a row for each track, with its person")
    parser.add_argument("--model", help="model folder whose calibration gives the threshold, for a feature table")
    parser.add_argument("--notes", help="CSV with a column path and time, track and camera, for a feature table")
    parser.add_argument("--distance", type=float, help="largest mean distance to link at; default: calibrated")
    parser.add_argument("--fpr", type=float, help="which stored threshold; default: the calibration's own")
    parser.add_argument(
        "--least_travel", type=float, help="seconds from one camera's view to another's, at the least"
    )
    parser.add_argument("--write", metavar="LABEL", help="write the person into the gallery: a label, or identity")
    parsed = parse(parser, arguments)

    from strongreid.gallery import Gallery, linking

    if Path(parsed.gallery).suffix == ".parquet":
        tracks, calibration = _tracks_of_table(parsed)
        links = linking.link(tracks, _threshold(parsed, calibration), least_travel=parsed.least_travel)
        links.save(parsed.output)
    else:
        with Gallery(parsed.gallery, calibration=parsed.model) as opened:
            calibration = opened.info().description.calibration
            tracks = linking.tracks_in(opened)
            links = linking.link(tracks, _threshold(parsed, calibration), least_travel=parsed.least_travel)
            links.save(parsed.output)
            if parsed.write:
                linking.write_links(opened, links, parsed.write)
    print(f"{parsed.output}: {links.table()}")
    if (links.tracks.identities >= 0).all():
        print(links.scores().table())
    return 0


def _tracks_of_table(parsed: Namespace) -> tuple[Tracks, Calibration | None]:
    from strongreid.evaluation.calibration import Calibration
    from strongreid.features import FeatureTable
    from strongreid.gallery.linking import tracks_of

    if parsed.write:
        raise InputError("--write changes a gallery; a feature table stays as it is, so leave it out.")
    table = FeatureTable.load(parsed.gallery)
    table, notes = read_notes(parsed.notes, table) if parsed.notes else (table, {})
    calibration = Calibration.load(parsed.model, model=table.model) if parsed.model else None
    return tracks_of(table, times=notes.get("times"), tracks=notes.get("tracks")), calibration


def _threshold(parsed: Namespace, calibration: Calibration | None) -> float:
    if parsed.distance is not None:
        if parsed.fpr is not None:
            raise InputError("--distance is the threshold itself: leave --fpr out.")
        return float(parsed.distance)
    if calibration is None:
        raise InputError(
            f"{parsed.gallery} has no calibration, so nobody knows which distance is near: give --model with a "
            "calibration (strongreid calibrate), or --distance."
        )
    return calibration.threshold(parsed.fpr)
