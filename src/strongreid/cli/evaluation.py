"""The verbs about results: evaluate, cross-domain, calibrate, compare, join."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from strongreid.cli.parser import Parser, extractor, model_arguments, parse
from strongreid.errors import InputError
from strongreid.files import write_json

if TYPE_CHECKING:
    from strongreid.evaluation.report import ProtocolReport
    from strongreid.evaluation.result import EvalResult


def evaluate(arguments: list[str]) -> int:
    """Evaluate a trained model on a data set."""
    parser = Parser(prog="strongreid evaluate", allow_abbrev=False, description="Evaluate a model on a data set.")
    model_arguments(parser)
    parser.add_argument("data", help="folder of the data set")
    parser.add_argument("--kind", default="market1501", help="layout of the data set")
    parser.add_argument("--metric", choices=["cosine", "euclidean"], help="default: the one of training")
    parser.add_argument("--rerank", choices=["k_reciprocal"], help="re-rank; default: don't")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", help="write the result with every query's figures to this JSON file")
    parser.add_argument("--protocol", default="market1501", help="rule of the evaluation: see docs/protocols.md")
    parser.add_argument("--breakdown", choices=["cameras", "identities", "distractors"], help="print a second table")
    parser.add_argument("--seed", type=int, default=0, help="of random galleries and of the order of distractors")
    parser.add_argument("--intervals", action="store_true", help="print 95 % intervals over identities too")
    parser.add_argument("--answers", type=int, default=0, help="nearest pictures of each query to keep in --output")
    parser.add_argument(
        "--centre_cameras",
        action="store_true",
        help="subtract each camera's mean feature: for new places",
    )
    parser.add_argument("--figures", help="folder to draw CMC, ROC, distances, best and worst queries into")
    parsed = parse(parser, arguments)

    from strongreid.evaluation.intervals import interval_table, intervals
    from strongreid.evaluation.report import checked_rule
    from strongreid.extraction import evaluate_model, report_model

    rule = checked_rule(parsed.protocol, parsed.breakdown, parsed.rerank)
    plain = rule.plain and not parsed.breakdown
    if not plain and (parsed.answers or parsed.figures or parsed.intervals):
        raise InputError(
            "--answers, --figures and --intervals are of the ranking of a whole gallery across cameras; leave out "
            f"--breakdown and --protocol {parsed.protocol}, or those."
        )
    extract = extractor(parsed, default="torch")
    options: dict[str, Any] = {
        name: parsed[name] for name in ("kind", "metric", "rerank", "centre_cameras", "skip_unreadable")
    }
    options["progress"] = not parsed.quiet
    result: EvalResult | ProtocolReport
    if plain:
        result = evaluate_model(extract, parsed.data, answers=parsed.answers, figures=parsed.figures, **options)
    else:
        result = report_model(extract, parsed.data, rule, breakdown=parsed.breakdown, seed=parsed.seed, **options)
    if parsed.output:
        result.save(parsed.output)
    print(result.json() if parsed.json else result.table())
    if parsed.intervals:
        table = interval_table(intervals(cast("EvalResult", result)))
        print(f"\n{table}", file=sys.stderr if parsed.json else sys.stdout)
    if parsed.figures:
        print(f"figures: {parsed.figures}", file=sys.stderr if parsed.json else sys.stdout)
    return 0


def cross_domain(arguments: list[str]) -> int:
    """Evaluate several models on several data sets."""
    parser = Parser(prog="strongreid cross-domain", allow_abbrev=False, description="Models by data sets: a matrix.")
    parser.add_argument("--models", nargs="+", required=True, help="NAME=FOLDER of each, NAME its training set")
    parser.add_argument("--data", nargs="+", required=True, help="NAME=FOLDER of each data set to test on")
    parser.add_argument("--kind", nargs="+", default=["market1501"], help="layout of all, and NAME=LAYOUT of others")
    parser.add_argument("--metric", choices=["cosine", "euclidean"], help="default: the one of each training")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", help="write the matrix to this JSON file")
    model_arguments(parser, one=False)
    parsed = parse(parser, arguments)

    from strongreid.data.readers import read_dataset
    from strongreid.evaluation import crossdomain
    from strongreid.extraction import evaluate_models

    models = crossdomain.named_folders("--models", parsed.models)
    folders = crossdomain.named_folders("--data", parsed.data)
    kinds = crossdomain.named_layouts(parsed.kind, folders)
    datasets = {name: read_dataset(kinds[name], folder) for name, folder in folders.items()}
    extractors = {name: extractor(parsed, folder, default="torch") for name, folder in models.items()}
    results = evaluate_models(
        extractors, datasets, metric=parsed.metric, skip_unreadable=parsed.skip_unreadable, progress=not parsed.quiet
    )
    if parsed.output:
        write_json(Path(parsed.output), crossdomain.cross_domain_summary(results))
    print((crossdomain.cross_domain_json if parsed.json else crossdomain.cross_domain_table)(results))
    return 0


def compare(arguments: list[str]) -> int:
    """Compare two results on the same queries."""
    parser = Parser(prog="strongreid compare", allow_abbrev=False, description="Compare two results, query by query.")
    parser.add_argument("a", help="result file that evaluate --output or train wrote")
    parser.add_argument("b", help="another one on the same queries and gallery; differences are b - a")
    parser.add_argument("--level", type=float, default=0.95, help="of the intervals, a share above 0 and below 1")
    parser.add_argument("--draws", type=int, default=10_000, help="bootstrap draws, and sign flips of the p-values")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--sheet", help="PNG to draw of queries whose first answer changed; needs evaluate --answers")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parsed = parse(parser, arguments)

    from strongreid.evaluation.comparison import compare_results
    from strongreid.evaluation.flips import flip_sheet
    from strongreid.evaluation.result import EvalResult

    a, b = EvalResult.load(parsed.a), EvalResult.load(parsed.b)
    found = compare_results(a, b, level=parsed.level, draws=parsed.draws, seed=parsed.seed)
    if parsed.sheet and found.flips:
        flip_sheet(found, a, b, parsed.sheet)
    print(found.json() if parsed.json else f"A: {parsed.a}\nB: {parsed.b}\n\n{found.table()}")
    if parsed.sheet:
        drawn = f"flips: {parsed.sheet}" if found.flips else "no first answer changed: no sheet was drawn"
        print(drawn, file=sys.stderr if parsed.json else sys.stdout)
    return 0


def join(arguments: list[str]) -> int:
    """Print the mean and spread of several results."""
    parser = Parser(prog="strongreid join", allow_abbrev=False, description="Mean and spread of several results.")
    parser.add_argument("results", nargs="+", help="result files of the runs: seeds, splits or draws")
    parser.add_argument("--level", type=float, default=0.95, help="of the t interval, a share above 0 and below 1")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parsed = parse(parser, arguments)

    from strongreid.evaluation.result import EvalResult
    from strongreid.evaluation.spread import join_results

    if len({Path(path).resolve() for path in parsed.results}) < len(parsed.results):
        raise InputError("a result file is named twice, which would make the spread too small; name each run once.")
    joined = join_results([EvalResult.load(path) for path in parsed.results])
    print(joined.json(parsed.level) if parsed.json else joined.table(parsed.level))
    return 0


def calibrate(arguments: list[str]) -> int:
    """Calibrate a model on half of a data set's people and report on the other half."""
    parser = Parser(prog="strongreid calibrate", allow_abbrev=False, description="What a model's distances mean.")
    model_arguments(parser)
    parser.add_argument("data", help="folder of a labelled data set; its query and gallery pictures are used")
    parser.add_argument("--kind", default="market1501", help="layout of the data set")
    parser.add_argument("--metric", choices=["cosine", "euclidean"], help="default: the one of training")
    parser.add_argument(
        "--fpr", type=float, default=0.001, help="share of wrong pairs that the threshold may let pass"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the division of the people in halves")
    parsed = parse(parser, arguments)

    from strongreid.extraction import calibrate_model

    report = calibrate_model(
        extractor(parsed, default="torch"),
        parsed.data,
        parsed.model,
        kind=parsed.kind,
        metric=parsed.metric,
        fpr=parsed.fpr,
        seed=parsed.seed,
        skip_unreadable=parsed.skip_unreadable,
        progress=not parsed.quiet,
    )
    print(report.table())
    print(f"stored in {parsed.model}")
    return 0
