"""The verbs about pictures: extract, synthesize, inspect."""

from __future__ import annotations

from strongreid.cli.parser import Parser, model_arguments, parse


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

    from strongreid.distributed import environment_rank
    from strongreid.extraction import Extractor, extract_folder
    from strongreid.features import shard_path

    table = extract_folder(
        Extractor(parsed.model, device=parsed.device, feature=parsed.feature, batch=parsed.batch, flip=parsed.flip),
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
    """Generate a data set."""
    parser = Parser(prog="strongreid synthesize", allow_abbrev=False, description="Generate a pedestrian data set.")
    from strongreid.synthetic.dataset import WorldSettings
    from strongreid.synthetic.dataset import synthesize as generate

    parser.add_argument("--config", action="config", help="a YAML or JSON file of settings")
    parser.add_argument("output", help="folder to write")
    parser.add_argument("--processes", type=int, help="processes; default: one per core")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_class_arguments(WorldSettings)
    parsed = parse(parser, arguments)
    settings = WorldSettings(**{name: parsed[name] for name in WorldSettings.__dataclass_fields__})
    manifest = generate(parsed.output, settings, processes=parsed.processes, progress=not parsed.quiet)
    counts = ", ".join(f"{name} {count}" for name, count in manifest["counts"].items())
    print(f"{parsed.output}: {counts}")
    return 0


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
