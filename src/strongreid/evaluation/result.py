"""The result of an evaluation: it prints, saves, loads and joins itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.distances import Metric
from strongreid.evaluation.matching import LeaveOut
from strongreid.evaluation.pairs import PairDistances
from strongreid.evaluation.ranking import Ranking
from strongreid.evaluation.text import percent, text_table
from strongreid.files import write_json

Rerank = Literal["k_reciprocal"]
RERANKS: tuple[Rerank, ...] = get_args(Rerank)
FORMAT = "strongreid.evaluation"
VERSION = 2
TABLE_RANKS = (1, 5, 10)


@dataclass(frozen=True, eq=False)
class Answers:
    """The nearest gallery pictures of every evaluated query, nearest first, in the order of `per_query`."""

    paths: tuple[tuple[str, ...], ...]
    right: tuple[tuple[bool, ...], ...]
    """Whether each is a true match."""
    distances: tuple[tuple[float, ...], ...]
    """1 - cosine, Euclidean, or the re-ranked distance."""


@dataclass(frozen=True, eq=False)
class EvalResult:
    """How well a gallery answers queries: means over the evaluated queries, as shares in 0..1."""

    mAP: float  # noqa: N815 - the field's own spelling
    """Mean average precision."""
    mINP: float  # noqa: N815
    """Mean inverse negative penalty: how early the last true match of a query comes."""
    cmc: tuple[float, ...]
    """Share of queries with a true match among the first 1, 2, ..., max_rank; flat beyond the gallery."""
    queries: int
    """Queries evaluated."""
    skipped: int
    """Queries left out because the gallery has no true match for them."""
    gallery: int
    """Pictures in the gallery, distractors included."""
    metric: Metric
    rerank: Rerank | None
    model: str
    """Fingerprint of the model that made the features; empty when unknown."""
    per_query: Ranking
    """Each evaluated query's average precision, inverse negative penalty and first match."""
    leave_out: LeaveOut = "same_camera"
    """What the protocol kept from each query, as in `Matching`."""
    answers: Answers | None = None
    """The first answers to every query, where they were asked for."""
    pairs: PairDistances | None = None
    """The distances of all pairs, where they were asked for; before re-ranking."""

    def rank(self, k: int) -> float:
        """Share of queries with a true match among the first `k`.

        Raises:
            InputError: `k` is below 1 or beyond the `max_rank` of the evaluation.
        """
        if not 1 <= k <= len(self.cmc):
            raise InputError(f"this result has ranks 1 to {len(self.cmc)}, got {k}; evaluate with max_rank >= {k}.")
        return self.cmc[k - 1]

    def table(self) -> str:
        """A plain-text table of one row: mAP, mINP, Rank-1, -5 and -10 in percent, then counts."""
        return compare_table({f"{self.metric} + {self.rerank}" if self.rerank else self.metric: self})

    def json(self) -> str:
        """The result as JSON without the per-query results, shares in 0..1."""
        return json.dumps(self._summary(), indent=2)

    def save(self, path: str | Path) -> None:
        """Write everything, per-query results included, as JSON, atomically.

        Raises:
            InputError: the file can't be written.
        """
        ranking = self.per_query
        per_query = {name: getattr(ranking, name).tolist() for name in _PER_QUERY}
        per_query["paths"] = list(ranking.paths)
        answers = None if self.answers is None else vars(self.answers)
        pairs = None if self.pairs is None else self.pairs.to_dict()
        write_json(Path(path), self._summary() | {"per_query": per_query, "answers": answers, "pairs": pairs})

    @classmethod
    def load(cls, path: str | Path) -> EvalResult:
        """Read what `save` wrote.

        Raises:
            InputError: there is no such file, it is damaged, or it is not an evaluation result.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"no evaluation result at {path}; evaluate first, or mend the path.") from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is damaged or no JSON ({error}); evaluate again.") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise InputError(f"{path} is no evaluation result: it lacks the format {FORMAT!r}.")
        if value.get("version") != VERSION:
            raise InputError(
                f"{path} is an evaluation result of version {value.get('version')}, and this strongreid reads "
                f"{VERSION}: evaluate again; a run folder of another version is best deleted, or left alone."
            )
        try:
            return _from_json(value)
        except KeyError as error:
            raise InputError(f"{path} is damaged: it lacks {error}; evaluate again.") from error
        except (TypeError, ValueError, InputError) as error:
            raise InputError(f"{path} is damaged ({error}); evaluate again.") from error

    def _summary(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in _SUMMARY}
        return {"format": FORMAT, "version": VERSION} | fields


_SUMMARY = tuple(name for name in EvalResult.__dataclass_fields__ if name not in ("per_query", "answers", "pairs"))
_PER_QUERY: dict[str, type[np.int64 | np.float64]] = {
    "query": np.int64,
    "average_precision": np.float64,
    "inverse_negative_penalty": np.float64,
    "first_match_rank": np.int64,
    "identities": np.int64,
    "cameras": np.int64,
}


def compare_table(rows: Mapping[str, EvalResult]) -> str:
    """An aligned text table, a row per named result: percentages ("-" where not computed), then counts."""
    head = ["", "mAP", "mINP", *(f"Rank-{k}" for k in TABLE_RANKS), "queries", "skipped", "gallery"]
    body = [
        [
            name,
            *(percent(share) for share in (result.mAP, result.mINP)),
            *(percent(result.rank(k)) if k <= len(result.cmc) else "-" for k in TABLE_RANKS),
            *(str(count) for count in (result.queries, result.skipped, result.gallery)),
        ]
        for name, result in rows.items()
    ]
    return text_table(head, body)


def _from_json(value: dict[str, Any]) -> EvalResult:
    """The result from its JSON object; KeyError, TypeError or ValueError where that is damaged."""
    saved, count = value["per_query"], value["queries"]
    arrays: dict[str, Any] = {name: np.asarray(saved[name], dtype=kind) for name, kind in _PER_QUERY.items()}
    if {array.shape for array in arrays.values()} != {(count,)} or len(saved["paths"]) != count:
        raise ValueError("the per-query results have other lengths than queries")
    fields = {name: value[name] for name in _SUMMARY}
    fields["cmc"] = tuple(float(share) for share in value["cmc"])
    ranking = Ranking(**arrays, paths=tuple(saved["paths"]), skipped=value["skipped"])
    pairs = None if value["pairs"] is None else PairDistances.from_dict(value["pairs"])
    return EvalResult(**fields, per_query=ranking, answers=_answers(value["answers"], count), pairs=pairs)


def _answers(saved: dict[str, Any] | None, count: int) -> Answers | None:
    if saved is None:
        return None
    lists = {name: tuple(map(tuple, saved[name])) for name in ("paths", "right", "distances")}
    if {len(rows) for rows in lists.values()} != {count}:
        raise ValueError("the answers have another length than queries")
    return Answers(**lists)
