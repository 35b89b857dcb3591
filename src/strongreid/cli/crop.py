"""The verb that cuts people out of films: crop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from strongreid.cli.parser import Parser, parse
from strongreid.errors import InputError

if TYPE_CHECKING:
    from strongreid.frames.boxes import Box
    from strongreid.frames.film import Film, Shot


def crop(arguments: list[str]) -> int:
    """Cut people out of videos or folders of frames, with the table that gallery add takes."""
    parser = Parser(
        prog="strongreid crop",
        allow_abbrev=False,
        description="Cut people out of a video or frames, by boxes from a file or a detector.",
    )
    parser.add_argument("source", help="a video, a folder of frames, or folders in the layout of MOT Challenge")
    parser.add_argument("output", help="folder for the crops and notes.csv")
    parser.add_argument(
        "--boxes", help="det.txt or gt.txt of MOT Challenge, .csv or .jsonl; within each film's folder"
    )
    parser.add_argument("--detector", help="a person detector of torchvision instead: quick, usual or thorough")
    parser.add_argument("--weights", help="its weights, from a file; default: torchvision's own, downloaded once")
    parser.add_argument("--detector_score", type=float, default=0.6, help="below, a detection is no person")
    parser.add_argument("--device", default="auto", help="of the detector: auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--follow", action="store_true", help="make tracks of boxes by their overlap")
    parser.add_argument(
        "--identities", action="store_true", help="track numbers are people's: write them in the names"
    )
    parser.add_argument("--camera", type=int, help="of a single film; default: 1, or as scene.json says")
    parser.add_argument("--start", help="time of the first frame: seconds, or 2026-03-01T08:30:00Z")
    parser.add_argument("--fps", type=float, help="frames a second; default: as seqinfo.ini or the video says")
    parser.add_argument("--min_height", type=int, default=48, help="pixels; smaller boxes are left out")
    parser.add_argument("--margin", type=float, default=0.0, help="share of the box added on each side")
    parser.add_argument("--every", type=int, default=1, help="every n-th frame only")
    parser.add_argument("--per_track", type=int, help="crops of a track at most, spread over it")
    parser.add_argument("--min_score", type=float, default=0.0, help="boxes with a lower score are left out")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parsed = parse(parser, arguments)

    from strongreid.frames.crops import NOTES, CropSettings, check_output, cut
    from strongreid.frames.film import find_shots
    from strongreid.gallery.entries import seconds

    if (parsed.boxes is None) == (parsed.detector is None):
        raise InputError("say where the people are: --boxes FILE, such as gt/gt.txt, or --detector usual.")
    names = ("min_height", "margin", "every", "per_track", "min_score")
    settings = CropSettings(**{name: parsed[name] for name in names})
    check_output(parsed.output)
    start = None if parsed.start is None else seconds(parsed.start)
    shots = find_shots(parsed.source, camera=parsed.camera, start=start)
    films = [(shot, shot.open(parsed.fps)) for shot in shots]
    found = [(shot, film, boxes) for (shot, film), boxes in zip(films, _boxes(parsed, films), strict=True)]
    made = cut(found, parsed.output, settings, identities=parsed.identities, progress=not parsed.quiet)
    print(f"{Path(parsed.output) / NOTES}: {made.crops} crops, {made.tracks} tracks, {made.new} of the crops new")
    return 0


def _boxes(parsed: Namespace, films: list[tuple[Shot, Film]]) -> list[tuple[Box, ...]]:
    """The boxes of each film, from a file or the detector; with --follow, with tracks."""
    from strongreid.frames.boxes import read_boxes
    from strongreid.frames.follow import follow

    found = (
        _detected(parsed, films) if parsed.detector else [read_boxes(_file(parsed.boxes, s, films)) for s, _ in films]
    )
    if parsed.follow:
        return [follow(boxes, longest_gap=10 * parsed.every) for boxes in found]
    return found


def _file(given: str, shot: Shot, films: list[tuple[Shot, Film]]) -> Path:
    """A file beside the film; the path as it is given where there is one film."""
    beside = shot.folder / given
    if beside.is_file() or len(films) > 1:
        return beside
    return Path(given)


def _detected(parsed: Namespace, films: list[tuple[Shot, Film]]) -> list[tuple[Box, ...]]:
    from strongreid.frames.detections import detect_film
    from strongreid.frames.detector import DETECTORS, PersonDetector

    names = dict(zip(("quick", "usual", "thorough"), DETECTORS, strict=True))
    if parsed.detector not in names:
        raise InputError(f"unknown detector {parsed.detector!r}; allowed: {', '.join(names)}.")
    name = names[parsed.detector]
    detect = PersonDetector(name, weights=parsed.weights, least_score=parsed.detector_score, device=parsed.device)
    named = f"{name} {parsed.weights or ''} {parsed.detector_score}"
    return [
        detect_film(
            film,
            detect,
            Path(parsed.output) / f"detections-c{shot.camera}.jsonl",
            named=named,
            every=parsed.every,
            progress=not parsed.quiet,
        )
        for shot, film in films
    ]
