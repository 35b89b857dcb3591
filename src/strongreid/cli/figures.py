"""The verb figure: the paper's figures, and what one looks at in a trained model."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from strongreid.cli.parser import Parser, chosen_preset, parse
from strongreid.errors import InputError

if TYPE_CHECKING:
    from strongreid.config import OptimConfig
    from strongreid.data.records import ReIDDataset

USAGE = """\
usage: strongreid figure KIND ... [--output FILE]

Draw a figure; the file's ending says whether as PNG, SVG or PDF.

kinds:
  erasing      random-erasing samples of a data set's pictures (the paper's figure 4)
  schedule     learning rate of configurations, epoch by epoch
  features-2d  the feature space in two dimensions under each loss (the paper's figure 6)
  space        f_t and f_i of a trained model, by principal components or t-SNE
  distances    distances of pictures of one person and of two, across cameras and within one
  cam          class-activation maps over pictures
  similarity   which regions of two pictures match
  curves       losses and mAP over the epochs of one run or several

strongreid figure KIND --help tells the rest.
"""


def figure(arguments: list[str]) -> int:
    """Draw the figure of the kind that comes first."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0 if arguments else 2
    kind = KINDS.get(arguments[0])
    if kind is None:
        near = difflib.get_close_matches(arguments[0], KINDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"unknown figure {arguments[0]!r}; there are {', '.join(KINDS)}.{hint}")
    return kind(arguments[1:])


def erasing(arguments: list[str]) -> int:
    """Random-erasing samples."""
    parser = _parser("erasing", "Random-erasing samples of a data set's training pictures.")
    _data_arguments(parser)
    parser.add_argument("--pictures", type=int, default=8, help="how many, each of another person")
    parser.add_argument("--samples", type=int, default=3, help="of each picture")
    parser.add_argument("--erasing", type=float, default=1.0, help="probability; the recipe's is 0.5")
    parser.add_argument("--fill", choices=["mean", "released"], default="mean", help="as augment.erasing_fill")
    parser.add_argument("--flip", type=float, default=0.0, help="probability of a flip; the recipe's is 0.5")
    parser.add_argument("--pad", type=int, default=0, help="pixels around before a random crop; the recipe's are 10")
    parser.add_argument("--height", type=int, default=256, help="in pixels; the rectangles depend on the size")
    parser.add_argument("--width", type=int, default=128, help="in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parsed = _parse(parser, arguments)

    from strongreid.data.augment import Augmentation
    from strongreid.experiments.figures.erasing import draw_erasing, some_pictures

    _check_shares(erasing=parsed.erasing, flip=parsed.flip)
    if parsed.pad < 0 or min(parsed.height, parsed.width) < 8:
        raise InputError(
            f"--pad is 0 or more, --height and --width 8 or more; got {parsed.pad}, {parsed.height}, {parsed.width}."
        )
    augmentation = Augmentation(parsed.flip, parsed.pad, parsed.erasing, parsed.fill)
    pictures = some_pictures(_read(parsed).train, parsed.pictures, parsed.height, parsed.width)
    draw_erasing(pictures, parsed.output, samples=parsed.samples, augmentation=augmentation, seed=parsed.seed)
    return _done(parsed.output)


def schedule(arguments: list[str]) -> int:
    """Learning rates."""
    parser = _parser("schedule", "Learning rate of configurations, epoch by epoch.")
    parser.add_argument("settings", nargs="+", help="presets, and files of settings such as a run's config.json")
    parser.add_argument("--steps", type=int, default=100, help="in an epoch, where the rate changes at every step")
    parser.add_argument("--linear", action="store_true", help="a linear axis; default: logarithmic")
    parsed = _parse(parser, arguments)

    from strongreid.experiments.figures.schedule import draw_schedule

    settings = {name: _optim(name) for name in parsed.settings}
    draw_schedule(settings, parsed.output, steps=parsed.steps, logarithmic=not parsed.linear)
    return _done(parsed.output)


def features_2d(arguments: list[str]) -> int:
    """Four small networks with two-dimensional features."""
    parser = _parser("features-2d", "The feature space in two dimensions under ID loss, triplet loss, both, BNNeck.")
    _data_arguments(parser)
    parser.add_argument("--identities", type=int, default=6, help="those with the most pictures; 2 to 8")
    parser.add_argument("--steps", type=int, default=250, help="of each of the four trainings")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and augmentation")
    parsed = _parse(parser, arguments)

    from strongreid.experiments.figures.plane import PlaneSettings, draw_plane, plane_panels, plane_table

    settings = PlaneSettings(identities=parsed.identities, steps=parsed.steps, seed=parsed.seed)
    panels = plane_panels(_read(parsed).train, settings)
    draw_plane(panels, parsed.output)
    print(plane_table(panels))
    return _done(parsed.output)


def space(arguments: list[str]) -> int:
    """Features of a model, projected."""
    parser = _parser("space", "f_t and f_i of a trained model's query and gallery pictures in two dimensions.")
    parser.add_argument("model", help="model folder, such as runs/x/best")
    _data_arguments(parser)
    parser.add_argument("--method", choices=["pca", "tsne"], default="pca", help="principal components, or t-SNE")
    parser.add_argument("--colour", choices=["identity", "camera"], default="identity", help="what colours tell")
    parser.add_argument("--points", type=int, default=800, help="pictures at most; all of a person's or none")
    parser.add_argument("--perplexity", type=float, default=30.0, help="of t-SNE: about how many neighbours matter")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of people")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parsed = _parse(parser, arguments)

    from strongreid.experiments.figures.space import draw_space, some_people, space_tables
    from strongreid.model.weights import load_model

    dataset = _read(parsed)
    records = some_people((*dataset.query, *dataset.gallery), parsed.points, parsed.seed)
    tables = space_tables(load_model(parsed.model), records, device=parsed.device)
    draw_space(tables, parsed.output, method=parsed.method, colour_by=parsed.colour, perplexity=parsed.perplexity)
    return _done(parsed.output)


def distances(arguments: list[str]) -> int:
    """Histograms of distances."""
    parser = _parser("distances", "Distances of pictures of one person and of two, across cameras and within one.")
    parser.add_argument("source", nargs="+", help="a model folder and a data set; or one or two feature tables")
    parser.add_argument("--kind", default="market1501", help="layout of the data set")
    parser.add_argument("--metric", choices=["cosine", "euclidean"], help="default: the model's; of tables, cosine")
    parser.add_argument("--feature", choices=["f_i", "f_t"], help="default: the one of training")
    parser.add_argument("--bins", type=int, default=100, help="of the histograms")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parsed = _parse(parser, arguments)

    from strongreid.data.readers import read_dataset
    from strongreid.experiments.figures.distances import count_distances, draw_camera_distances
    from strongreid.features import FeatureTable

    sources, metric = parsed.source, parsed.metric
    if len(sources) > 2:
        raise InputError(
            f"name a model folder and a data set, or one or two feature tables; got {len(sources)} paths."
        )
    if (Path(sources[0]) / "model.json").is_file():
        from strongreid.extraction import Extractor, query_and_gallery

        if len(sources) == 1:
            raise InputError(f"{sources[0]} is a model folder: name the folder of a data set after it.")
        extract = Extractor(sources[0], device=parsed.device, feature=parsed.feature, backend="torch")
        query, gallery = query_and_gallery(extract, read_dataset(parsed.kind, sources[1]))
        metric = metric or extract.spec.metric
    else:
        query, gallery = (FeatureTable.load(path) for path in (sources[0], sources[-1]))
    draw_camera_distances(count_distances(query, gallery, metric or "cosine"), parsed.output, bins=parsed.bins)
    return _done(parsed.output)


def cam(arguments: list[str]) -> int:
    """Class-activation maps."""
    parser = _parser("cam", "Class-activation maps over pictures: what speaks for the likeliest training identity.")
    parser.add_argument("model", help="model folder, such as runs/x/best")
    parser.add_argument("pictures", nargs="+", help="picture files")
    _reference_argument(parser)
    parser.add_argument("--columns", type=int, default=6, help="pictures beside each other")
    parsed = _parse(parser, arguments)

    from strongreid.experiments.figures.maps import class_activation, locate
    from strongreid.experiments.figures.overlays import draw_maps
    from strongreid.model.weights import load_model

    located = locate(load_model(parsed.model), parsed.pictures, reference=_reference(parsed.reference))
    maps = class_activation(located)
    draw_maps(located, maps, parsed.output, columns=parsed.columns)
    print(f"{maps.kind} of {len(located.pictures)} pictures")
    return _done(parsed.output)


def similarity(arguments: list[str]) -> int:
    """Matching regions of a pair."""
    parser = _parser("similarity", "Which regions of two pictures match: what each location adds to their cosine.")
    parser.add_argument("model", help="model folder, such as runs/x/best")
    parser.add_argument("a", help="a picture")
    parser.add_argument("b", help="another one")
    _reference_argument(parser)
    parser.add_argument("--feature", choices=["f_i", "f_t"], help="default: the one of training")
    parser.add_argument("--lines", type=int, default=5, help="between pairs of locations that match most")
    parsed = _parse(parser, arguments)

    from strongreid.experiments.figures.maps import locate, match_regions
    from strongreid.experiments.figures.overlays import draw_match
    from strongreid.model.weights import load_model

    model, reference = load_model(parsed.model), _reference(parsed.reference)
    located = locate(model, [parsed.a, parsed.b], feature=parsed.feature, reference=reference)
    found = match_regions(located)
    draw_match(located, found, parsed.output, lines=parsed.lines)
    print(f"cosine {found.cosine:.4f}, cosine distance {1 - found.cosine:.4f}")
    return _done(parsed.output)


def curves(arguments: list[str]) -> int:
    """Losses and scores by epoch."""
    parser = _parser("curves", "Losses and mAP over the epochs of one run or several.")
    parser.add_argument("runs", nargs="+", help="run folders, or their log.jsonl")
    parsed = _parse(parser, arguments)

    from strongreid.experiments.figures.curves import draw_logs, read_log

    draw_logs({run: read_log(run) for run in parsed.runs}, parsed.output)
    return _done(parsed.output)


KINDS: dict[str, Callable[[list[str]], int]] = {
    "erasing": erasing,
    "schedule": schedule,
    "features-2d": features_2d,
    "space": space,
    "distances": distances,
    "cam": cam,
    "similarity": similarity,
    "curves": curves,
}
MOST_REFERENCES = 128


def _parser(kind: str, description: str) -> Parser:
    parser = Parser(prog=f"strongreid figure {kind}", allow_abbrev=False, description=description)
    parser.add_argument("--output", default=f"{kind}.png", help="file to write: .png, .svg or .pdf")
    return parser


def _parse(parser: Parser, arguments: list[str]) -> Namespace:
    """The arguments; a file of another format is refused now, before anything takes long."""
    from strongreid.evaluation.style import checked_format

    parsed = parse(parser, arguments)
    checked_format(parsed.output)
    return parsed


def _data_arguments(parser: Parser) -> None:
    parser.add_argument("data", help="folder of the data set")
    parser.add_argument("--kind", default="market1501", help="layout of the data set")


def _reference_argument(parser: Parser) -> None:
    parser.add_argument(
        "--reference",
        help="folder of other pictures, such as a gallery: what is common to them is taken off the maps",
    )


def _reference(folder: str | None) -> list[Path]:
    """At most `MOST_REFERENCES` pictures of a folder and those below it, evenly spread."""
    from strongreid.data.readers import read_pictures

    pictures = read_pictures(folder) if folder else []
    return list(pictures[:: max(1, len(pictures) // MOST_REFERENCES)][:MOST_REFERENCES])


def _read(parsed: Namespace) -> ReIDDataset:
    from strongreid.data.readers import read_dataset

    return read_dataset(parsed.kind, parsed.data)


def _optim(name: str) -> OptimConfig:
    """The optimiser's settings of a preset, or of a file of settings as `strongreid train --config` takes them."""
    from strongreid.config import PRESETS, Config

    if name in PRESETS:
        return PRESETS[name]().optim
    if not Path(name).is_file():
        raise InputError(f"{name} is no preset ({', '.join(PRESETS)}) and no file of settings.")
    parser = Parser(prog="strongreid figure schedule", allow_abbrev=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--preset", default="bag_of_tricks", choices=list(PRESETS))
    parser.add_class_arguments(Config)
    preset = chosen_preset(["--config", name], "bag_of_tricks")
    if preset in PRESETS:
        defaults = dataclasses.asdict(PRESETS[preset]())
        parser.set_defaults({f"{room}.{key}": v for room, values in defaults.items() for key, v in values.items()})
    config: Config = parser.instantiate(parse(parser, ["--config", name]))
    return config.optim


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise InputError(f"--{name} is a probability from 0 to 1, got {share}.")


def _done(output: str) -> int:
    print(f"figure: {output}")
    return 0
