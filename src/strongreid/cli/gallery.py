"""The verbs about people who are looked for: gallery, verify."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from strongreid.cli.linking import link
from strongreid.cli.notes import drop_varying, read_notes, typed
from strongreid.cli.parser import Parser, extractor, model_arguments, parse
from strongreid.errors import InputError

if TYPE_CHECKING:
    from strongreid.extraction import Extractor
    from strongreid.features import FeatureTable

USAGE = """\
usage: strongreid gallery ACTION GALLERY ...

A searchable gallery of people: a folder, or http://HOST:6333/NAME on a Qdrant server.

actions:
  add      enrol a feature table, or a folder of pictures with --model
  search   find the nearest entries of one or several pictures of one person
  link     put tracks of several cameras together into people
  list     what entries there are, page by page
  remove   take entries out: by id, by identity, or before a time
  info     counts, sizes, model, calibration, recall of the approximate index
  rebuild  make the index anew from the Parquet parts; --approximate adds a graph
  compact  clear what was removed from the disk
  move     copy a gallery in a folder to a server, and compare every entry there

strongreid gallery ACTION --help tells the rest.
"""


def gallery(arguments: list[str]) -> int:
    """Run one action on a gallery."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0 if arguments else 2
    action = ACTIONS.get(arguments[0])
    if action is None:
        near = difflib.get_close_matches(arguments[0], ACTIONS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"unknown action {arguments[0]!r}; there are {', '.join(ACTIONS)}.{hint}")
    return action(arguments[1:])


def verify(arguments: list[str]) -> int:
    """Compare two pictures; the exit code is 0 for the same person, 1 for not."""
    parser = Parser(prog="strongreid verify", allow_abbrev=False, description="Do two pictures show one person?")
    parser.add_argument("a", help="a picture")
    parser.add_argument("b", help="another")
    parser.add_argument("--model", required=True, help="model folder with a calibration, such as runs/x/last")
    parser.add_argument("--fpr", type=float, help="share of wrong pairs that may pass; default: as calibrated")
    parser.add_argument("--prior", type=float, default=0.5, help="how likely the same person was before looking")
    parser.add_argument("--json", action="store_true", help="print JSON")
    model_arguments(parser, one=False)
    parsed = parse(parser, arguments)

    from strongreid.evaluation.calibration import Calibration
    from strongreid.gallery.verify import verify as compare

    extract = extractor(parsed)
    calibration = Calibration.load(parsed.model, model=extract.fingerprint)
    a, b = extract([parsed.a, parsed.b])
    found = compare(a, b, calibration, prior=parsed.prior, fpr=parsed.fpr)
    print(found.json() if parsed.json else found.table())
    return 0 if found.same else 1


def _add(arguments: list[str]) -> int:
    parser = _parser("add", "Enrol a feature table, or a folder of pictures.")
    parser.add_argument("source", help="Parquet table that extract wrote, or a folder of pictures (with --model)")
    parser.add_argument("--model", help="model folder: makes the features, and gives its calibration to the gallery")
    parser.add_argument("--notes", help="CSV with a column path and any of time, track and labels, to filter by")
    parser.add_argument("--track_as_one", action="store_true", help="each track becomes one entry, its mean feature")
    parser.add_argument("--unlabelled", action="store_true", help="pictures of any name: identity -1, camera 0")
    parser.add_argument("--metric", choices=["cosine", "euclidean"], help="of a new gallery; default: calibration's")
    model_arguments(parser, one=False)
    parsed = parse(parser, arguments)

    from strongreid.evaluation.calibration import FILE
    from strongreid.gallery import Gallery

    table = _table(parsed)
    table, notes = read_notes(parsed.notes, table) if parsed.notes else (table, {})
    if parsed.track_as_one and notes:
        varying = drop_varying(notes)
        if varying:
            print(f"left out, since they differ within a track: {', '.join(varying)}")
    calibrated = parsed.model and (Path(parsed.model) / FILE).is_file()
    with Gallery(parsed.gallery, calibration=parsed.model if calibrated else None, metric=parsed.metric) as opened:
        ids = opened.add(table, track_as_one=parsed.track_as_one, **notes)
        print(f"{parsed.gallery}: {len(ids)} entries added, {len(opened)} there")
    return 0


def _search(arguments: list[str]) -> int:
    parser = _parser("search", "Find the nearest entries of pictures of one person.")
    parser.add_argument("pictures", nargs="*", help="pictures of one person (with --model)")
    parser.add_argument("--model", help="model folder, the gallery's")
    parser.add_argument("--table", help="Parquet table of features of one person, instead of pictures")
    parser.add_argument("--entry", type=int, nargs="+", help="ids of entries to look for, instead of pictures")
    parser.add_argument("--unlike", nargs="+", help="pictures of somebody else, to move away from")
    parser.add_argument("--top_k", type=int, default=10, help="matches to show")
    parser.add_argument("--combine", default="mean", choices=["mean", "best"], help="several pictures: mean or best")
    parser.add_argument("--rerank", choices=["k_reciprocal"], help="re-rank the nearest candidates")
    parser.add_argument("--candidates", type=int, default=200, help="how many")
    parser.add_argument("--approximate", action="store_true", help="ask the graph of rebuild --approximate")
    _filter_arguments(parser)
    parser.add_argument("--fpr", type=float, help="which stored threshold decides on unknown")
    parser.add_argument("--prior", type=float, default=0.5, help="how likely a match was before looking")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--csv", action="store_true", help="print CSV")
    model_arguments(parser, one=False)
    parsed = parse(parser, arguments)

    from strongreid.gallery import Gallery

    names = ("top_k", "combine", "rerank", "candidates", "approximate", "fpr", "prior")
    options: dict[str, Any] = {name: parsed[name] for name in (*names, *FILTERS)}
    with Gallery(parsed.gallery) as opened:
        labels = _where(parsed.where or [], opened.info().description.labels)
        features, unlike = _looked_for(parsed, opened)
        found = opened.search(features, unlike=unlike, labels=labels or None, **options)
    print(
        found.json() if parsed.json else found.csv() if parsed.csv else found.table(), end="" if parsed.csv else "\n"
    )
    return 0


def _list(arguments: list[str]) -> int:
    parser = _parser("list", "What entries there are, by id, page by page.")
    parser.add_argument("--limit", type=int, default=50, help="entries to show, at most 1000")
    parser.add_argument("--start", type=int, default=0, help="the id to begin with")
    _filter_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--csv", action="store_true", help="print CSV")
    parsed = parse(parser, arguments)

    from strongreid.gallery import Gallery, Only

    with Gallery(parsed.gallery) as opened:
        labels = _where(parsed.where or [], opened.info().description.labels)
        only = Only(**{name: parsed[name] for name in FILTERS}, labels=labels or None)
        found = opened.entries(parsed.limit, start=parsed.start, only=only)
    print(
        found.json() if parsed.json else found.csv() if parsed.csv else found.table(), end="" if parsed.csv else "\n"
    )
    return 0


def _remove(arguments: list[str]) -> int:
    parser = _parser("remove", "Take entries out; compact clears them from the disk.")
    parser.add_argument("--ids", type=int, nargs="+", help="entries")
    parser.add_argument("--identity", type=int, help="all entries of an identity")
    parser.add_argument("--before", help="all entries before a time: seconds, or 2026-03-01T08:30:00Z")
    parser.add_argument("--compact", action="store_true", help="and compact")
    parsed = parse(parser, arguments)

    from strongreid.gallery import Gallery

    with Gallery(parsed.gallery) as opened:
        count = opened.remove(ids=parsed.ids, identity=parsed.identity, before=parsed.before)
        if parsed.compact:
            opened.compact()
        print(f"{parsed.gallery}: {count} entries removed, {len(opened)} left")
    return 0


def _info(arguments: list[str]) -> int:
    parser = _parser("info", "Counts, sizes, model, calibration.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--audit", action="store_true", help="print what was done and when, one JSON line each")
    parsed = parse(parser, arguments)

    import json

    from strongreid.gallery import Gallery

    with Gallery(parsed.gallery) as opened:
        if parsed.audit:
            print("\n".join(json.dumps(line) for line in opened.audit()))
        else:
            found = opened.info()
            print(found.json() if parsed.json else found.table())
    return 0


def _rebuild(arguments: list[str]) -> int:
    parser = _parser("rebuild", "Make the index anew from the Parquet parts.")
    parser.add_argument("--approximate", action="store_true", help="with a graph for approximate search")
    parsed = parse(parser, arguments)

    from strongreid.gallery import Gallery

    with Gallery(parsed.gallery) as opened:
        opened.rebuild(approximate=parsed.approximate)
        print(opened.info().table())
    return 0


def _compact(arguments: list[str]) -> int:
    parsed = parse(_parser("compact", "Clear what was removed from the disk."), arguments)

    from strongreid.gallery import Gallery

    with Gallery(parsed.gallery) as opened:
        opened.compact()
        print(opened.info().table())
    return 0


def _move(arguments: list[str]) -> int:
    parser = _parser("move", "Copy a gallery in a folder to a server, and compare every entry there.")
    parser.add_argument("url", help="http://HOST:6333/NAME")
    parsed = parse(parser, arguments)

    from strongreid.gallery.move import move

    count = move(parsed.gallery, parsed.url)
    print(f"{parsed.url}: {count} entries, each compared with {parsed.gallery}, which stays until you delete it")
    return 0


ACTIONS: dict[str, Callable[[list[str]], int]] = {
    "add": _add,
    "search": _search,
    "link": link,
    "list": _list,
    "remove": _remove,
    "info": _info,
    "rebuild": _rebuild,
    "compact": _compact,
    "move": _move,
}


def _parser(action: str, description: str) -> Parser:
    parser = Parser(prog=f"strongreid gallery {action}", allow_abbrev=False, description=description)
    parser.add_argument("gallery", help="folder, or http://HOST:6333/NAME")
    return parser


FILTERS = ("cameras", "not_cameras", "identities", "since", "before")


def _filter_arguments(parser: Parser) -> None:
    """Which entries are meant: FILTERS and --where."""
    parser.add_argument("--cameras", type=int, nargs="+", help="entries of these cameras only")
    parser.add_argument("--not_cameras", type=int, nargs="+", help="none of these cameras")
    parser.add_argument("--identities", type=int, nargs="+", help="entries of these identities only")
    parser.add_argument("--since", help="of this time or later: seconds, or 2026-03-01T08:30:00Z")
    parser.add_argument("--before", help="before this time")
    parser.add_argument("--where", nargs="+", help="LABEL=VALUE or LABEL=VALUE,VALUE")


def _table(parsed: Namespace) -> FeatureTable:
    """The features to enrol."""
    from strongreid.features import FeatureTable

    if not Path(parsed.source).is_dir():
        return FeatureTable.load(parsed.source)
    if not parsed.model:
        raise InputError(f"{parsed.source} is a folder of pictures: say with --model what is to make their features.")
    from strongreid.extraction import read_records

    records = read_records(parsed.source, unlabelled=parsed.unlabelled)
    return extractor(parsed).table(records, skip_unreadable=parsed.skip_unreadable, progress=not parsed.quiet)


def _looked_for(parsed: Namespace, opened: Any) -> tuple[Any, Any]:
    """What is looked for, and what is to be moved away from."""
    from strongreid.features import FeatureTable

    ways = [name for name in ("pictures", "table", "entry") if parsed[name]]
    if len(ways) != 1:
        raise InputError("say what to look for in one way: pictures, --table or --entry.")
    if (parsed.pictures or parsed.unlike) and not parsed.model:
        raise InputError("pictures are searched by their features: say with --model what makes them.")
    extract = extractor(parsed) if parsed.pictures or parsed.unlike else None
    made = {name: _features(extract, parsed[name]) for name in ("pictures", "unlike")}
    if parsed.table:
        return FeatureTable.load(parsed.table), made["unlike"]
    if parsed.entry:
        return opened.features(parsed.entry), made["unlike"]
    return made["pictures"], made["unlike"]


def _features(extract: Extractor | None, pictures: list[str] | None) -> FeatureTable | None:
    """A table of pictures, so that their model is checked."""
    from strongreid.data.records import DISTRACTOR, ImageRecord

    if extract is None or not pictures:
        return None
    return extract.table([ImageRecord(Path(picture), DISTRACTOR, 0) for picture in pictures])


def _where(given: list[str], known: Any) -> dict[str, list[Any]]:
    """The labels of --where, in the gallery's kinds."""
    found = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise InputError(f"--where takes LABEL=VALUE or LABEL=VALUE,VALUE, got {text!r}.")
        listed = values.split(",")
        found[name] = list(listed) if known.get(name, "text") == "text" else typed(list(listed))
    return found
