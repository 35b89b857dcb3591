"""Models trained on some data sets and tested on others, in one matrix."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from strongreid.errors import InputError
from strongreid.evaluation.result import EvalResult
from strongreid.evaluation.text import percent, text_table

FORMAT = "strongreid.cross-domain"
VERSION = 1


def cross_domain_table(results: Mapping[tuple[str, str], EvalResult]) -> str:
    """A text table of training sets (rows) by test sets (columns), "mAP / Rank-1" in percent.

    Rows and columns are in the order of their first appearance. "-" is a pair without a result; "*" marks a set
    tested on itself, which is known by its name alone.

    Args:
        results: by (training set, test set).

    Raises:
        InputError: there are no results.
    """
    trained, tested = _sets(results)
    rows = [[train, *(_cell(results.get((train, test)), train == test) for test in tested)] for train in trained]
    table = text_table(["train \\ test", *tested], rows)
    marked = any(train == test for train, test in results)
    return f"{table}\nmAP / Rank-1 in percent{'; * tested on the set of its training' if marked else ''}"


def cross_domain_summary(results: Mapping[tuple[str, str], EvalResult]) -> dict[str, Any]:
    """The matrix for JSON: a list of pairs with their measures as shares in 0..1, and what else they rest on.

    Args:
        results: by (training set, test set).

    Raises:
        InputError: there are no results.
    """
    trained, tested = _sets(results)
    pairs = [
        {
            "train": train,
            "test": test,
            "mAP": result.mAP,
            "mINP": result.mINP,
            "rank1": result.rank(1),
            "queries": result.queries,
            "skipped": result.skipped,
            "gallery": result.gallery,
            "metric": result.metric,
            "rerank": result.rerank,
            "leave_out": result.leave_out,
            "model": result.model,
        }
        for (train, test), result in results.items()
    ]
    return {"format": FORMAT, "version": VERSION, "train": trained, "test": tested, "pairs": pairs}


def cross_domain_json(results: Mapping[tuple[str, str], EvalResult]) -> str:
    """`cross_domain_summary` as JSON text.

    Raises:
        InputError: there are no results.
    """
    return json.dumps(cross_domain_summary(results), indent=2)


def named_folders(flag: str, words: Sequence[str]) -> dict[str, str]:
    """The folders of a command line's NAME=FOLDER words, by name.

    Raises:
        InputError: a word lacks the name or the folder, or a name occurs twice.
    """
    folders: dict[str, str] = {}
    for word in words:
        name, _, folder = word.partition("=")
        if not name or not folder:
            raise InputError(f"{flag} takes NAME=FOLDER, got {word!r}; write for example market=data/Market-1501.")
        if name in folders:
            raise InputError(
                f"{flag} names {name!r} twice, {folders[name]} and {folder}; give each a name of its own."
            )
        folders[name] = folder
    return folders


def named_layouts(words: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """The layout of every named data set: one for all, and NAME=LAYOUT words for those that have another.

    Raises:
        InputError: there are several for all or none where it is needed, or a name that no data set has.
    """
    for_all = [word for word in words if "=" not in word]
    layouts = named_folders("--kind", [word for word in words if "=" in word])
    if len(for_all) > 1:
        raise InputError(
            f"--kind takes one layout for all, got {', '.join(for_all)}; write NAME=LAYOUT for the others."
        )
    unknown = [name for name in layouts if name not in names]
    if unknown:
        raise InputError(f"--kind names {unknown[0]!r}, which is not among --data: {', '.join(names)}.")
    missing = [name for name in names if name not in layouts]
    if missing and not for_all:
        raise InputError(f"--kind gives no layout for {', '.join(missing)}; add one for all, such as market1501.")
    return {name: layouts.get(name) or for_all[0] for name in names}


def _sets(results: Mapping[tuple[str, str], EvalResult]) -> tuple[list[str], list[str]]:
    """The names of the training sets and of the test sets, each once."""
    if not results:
        raise InputError("there are no results to put in a table; evaluate a model on a data set first.")
    return list(dict.fromkeys(train for train, _ in results)), list(dict.fromkeys(test for _, test in results))


def _cell(result: EvalResult | None, itself: bool) -> str:
    if result is None:
        return "-  "
    return f"{percent(result.mAP)} / {percent(result.rank(1))} {'*' if itself else ' '}"
