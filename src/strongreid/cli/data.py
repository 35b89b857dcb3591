"""The verbs about pictures: extract, synthesize, inspect."""

from __future__ import annotations

from dataclasses import asdict

from jsonargparse import Namespace

from strongreid.cli.parser import Parser, chosen_preset, extractor, model_arguments, parse
from strongreid.errors import InputError


def extract(arguments: list[str]) -> int:
    """Write the features of a folder of pictures as a table."""
    parser = Parser(prog="strongreid extract", allow_abbrev=False, description="Features of a folder of pictures.")
    model_arguments(parser)
    parser.add_argument("pictures", help="folder of pictures; identity and camera are read from Market-1501 names")
    parser.add_argument("output", help="Parquet file to write")
    parser.add_argument(
        "--unlabelled", action="store_true", help="pictures of any name, below the folder too: identity -1, camera 0"
    )
    parsed = parse(parser, arguments)

    from strongreid.extraction import extract_folder
    from strongreid.features import shard_path
    from strongreid.processes import environment_rank

    table = extract_folder(
        extractor(parsed),
        parsed.pictures,
        parsed.output,
        unlabelled=parsed.unlabelled,
        skip_unreadable=parsed.skip_unreadable,
        progress=not parsed.quiet,
    )
    rank, size, _ = environment_rank()
    written = shard_path(parsed.output, rank, size) if size > 1 else parsed.output
    print(f"{written}: {len(table)} pictures, {table.dim} numbers each")
    return 0


def synthesize(arguments: list[str]) -> int:
    """Generate a data set, or check one."""
    from strongreid.synthetic.dataset import PRESETS, WorldSettings, write_set
    from strongreid.synthetic.dataset import preset as preset_of

    parser = Parser(
        prog="strongreid synthesize", allow_abbrev=False, description="Generate a pedestrian data set, or check one."
    )
    parser.add_argument("--config", action="config", help="a YAML or JSON file of settings")
    parser.add_argument("--preset", default="default", choices=list(PRESETS), help="the settings to start from")
    parser.add_argument("output", help="folder to write; one that was begun is gone on with")
    parser.add_argument("--truth", default="", help="what to tell with each picture, with commas: masks, joints")
    parser.add_argument("--verify", action="store_true", help="write nothing: check a folder against its manifest")
    parser.add_argument("--files_only", action="store_true", help="with --verify: render nothing, check the files")
    parser.add_argument("--processes", type=int, help="processes; default: one per core")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_class_arguments(WorldSettings)
    name = chosen_preset(arguments, "default")
    if name in PRESETS:
        parser.set_defaults(asdict(preset_of(name)))
    parsed = parse(parser, arguments)
    if parsed.verify:
        return _verify(parsed, arguments)
    if parsed.files_only:
        raise InputError(
            "--files_only is given without --verify: it says what to check. Add --verify, or leave it out."
        )
    settings = WorldSettings(**{field: parsed[field] for field in WorldSettings.__dataclass_fields__})
    truth = [kind.strip() for kind in parsed.truth.split(",") if kind.strip()]
    manifest = write_set(parsed.output, settings, truth=truth, processes=parsed.processes, progress=not parsed.quiet)
    counts = ", ".join(f"{split} {count}" for split, count in manifest["counts"].items())
    print(f"{parsed.output}: {counts}")
    return 0


def _verify(parsed: Namespace, arguments: list[str]) -> int:
    """Print every difference; the exit code is 1 if there are any."""
    from strongreid.synthetic.verification import verify

    allowed = ("--verify", "--files_only", "--processes", "--quiet")
    flags = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    if others := [flag for flag in flags if flag not in allowed]:
        raise InputError(
            f"{', '.join(others)} with --verify: the manifest tells the settings. Allowed is {', '.join(allowed)}; "
            f"leave the rest out."
        )
    differences = verify(
        parsed.output, pixels=not parsed.files_only, processes=parsed.processes, progress=not parsed.quiet
    )
    for difference in differences:
        print(difference)
    if not differences:
        print(f"{parsed.output}: as its manifest says")
    return 1 if differences else 0


def inspect(arguments: list[str]) -> int:
    """Print the counts of a data set and draw a contact sheet."""
    parser = Parser(prog="strongreid inspect", allow_abbrev=False, description="Counts and a contact sheet.")
    parser.add_argument("data", help="folder of the data set")
    parser.add_argument("--kind", default="market1501", help="layout of the data set")
    parser.add_argument("--sheet", default="contact_sheet.png", help="PNG to draw; an empty name draws none")
    parsed = parse(parser, arguments)

    from strongreid.data.inspect import summarize
    from strongreid.data.readers import read_dataset
    from strongreid.evaluation.sheets import dataset_sheet

    dataset = read_dataset(parsed.kind, parsed.data)
    print(summarize(dataset))
    if parsed.sheet:
        dataset_sheet(dataset, parsed.sheet)
        print(f"contact sheet: {parsed.sheet}")
    return 0
