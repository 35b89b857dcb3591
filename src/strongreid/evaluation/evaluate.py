"""From two feature tables to one result that prints, saves and loads itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.distances import Metric, check_comparable, normalise
from strongreid.evaluation.ranking import Ranking, rank_distances, rank_features
from strongreid.evaluation.reranking import k_reciprocal
from strongreid.features import FeatureTable
from strongreid.files import write_json

Rerank = Literal["k_reciprocal"]
RERANKS: tuple[Rerank, ...] = get_args(Rerank)
FORMAT = "strongreid.evaluation"
VERSION = 1
TABLE_RANKS = (1, 5, 10)


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
        write_json(Path(path), self._summary() | {"per_query": per_query})

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
                f"{path} is an evaluation result of version {value.get('version')}, this program reads "
                f"{VERSION}; update strongreid, or evaluate again."
            )
        try:
            return _from_json(value)
        except KeyError as error:
            raise InputError(f"{path} is damaged: it lacks {error}; evaluate again.") from error
        except (TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged ({error}); evaluate again.") from error

    def _summary(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in _SUMMARY}
        return {"format": FORMAT, "version": VERSION} | fields


_SUMMARY = tuple(name for name in EvalResult.__dataclass_fields__ if name != "per_query")
_PER_QUERY: dict[str, type[np.int64 | np.float64]] = {
    "query": np.int64,
    "average_precision": np.float64,
    "inverse_negative_penalty": np.float64,
    "first_match_rank": np.int64,
}


def evaluate(
    query: FeatureTable,
    gallery: FeatureTable,
    metric: Metric = "cosine",
    rerank: Rerank | None = None,
    max_rank: int = 50,
) -> EvalResult:
    """Evaluate retrieval under the cross-camera protocol of Market-1501 (paper, section 4).

    Gallery pictures of the query's identity and camera are removed, distractors (identity -1) stay and never
    match, queries without a true match are skipped and counted, equal distances are ordered by gallery row.

    Args:
        query: (q, d) features with identities and cameras.
        gallery: (g, d), the same.
        metric: "cosine", or "euclidean" on the features as they are.
        rerank: None, or "k_reciprocal" with the published k1=20, k2=6, lam=0.3. It works on Euclidean
            distances: of the L2-normalised features under "cosine", of the features as they are under
                "euclidean".
        max_rank: length of the CMC.

    Raises:
        InputError: a table is empty, the tables do not belong together (dimension, model), an argument is not
            allowed, or no query has a possible match.
    """
    _check(query, gallery, metric, rerank, max_rank)
    if rerank is None:
        ranking = rank_features(query, gallery, metric)
    else:
        prepare = normalise if metric == "cosine" else np.asarray
        distances = k_reciprocal(prepare(query.features), prepare(gallery.features))
        ranking = rank_distances(distances, query, gallery)
    return EvalResult(
        mAP=float(ranking.average_precision.mean()),
        mINP=float(ranking.inverse_negative_penalty.mean()),
        cmc=tuple(ranking.cmc(max_rank).tolist()),
        queries=len(ranking.query),
        skipped=ranking.skipped,
        gallery=len(gallery),
        metric=metric,
        rerank=rerank,
        model=query.model or gallery.model,
        per_query=ranking,
    )


def compare_table(rows: Mapping[str, EvalResult]) -> str:
    """An aligned text table, a row per named result: percentages ("-" where not computed), then counts."""
    head = ["", "mAP", "mINP", *(f"Rank-{k}" for k in TABLE_RANKS), "queries", "skipped", "gallery"]
    body = [
        [
            name,
            *(f"{100 * share:.2f}" for share in (result.mAP, result.mINP)),
            *(f"{100 * result.rank(k):.2f}" if k <= len(result.cmc) else "-" for k in TABLE_RANKS),
            *(str(count) for count in (result.queries, result.skipped, result.gallery)),
        ]
        for name, result in rows.items()
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in [head, *body]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _check(query: FeatureTable, gallery: FeatureTable, metric: Metric, rerank: Rerank | None, max_rank: int) -> None:
    """Refuse what can't be evaluated."""
    if rerank is not None and rerank not in RERANKS:
        raise InputError(f"unknown rerank {rerank!r}; allowed: None, {', '.join(RERANKS)}.")
    if max_rank < 1:
        raise InputError(f"max_rank is the length of the CMC and at least 1, got {max_rank}.")
    for name, table in (("query", query), ("gallery", gallery)):
        if not len(table):
            raise InputError(f"the {name} table is empty; look at the {name} folder or list it was made from.")
    check_comparable(query.features, gallery.features, metric)
    if query.model and gallery.model and query.model != gallery.model:
        raise InputError(
            f"the tables come from different models (query {query.model!r}, gallery {gallery.model!r}): "
            "their features can't be compared; extract both with the same model."
        )
    _check_matches(query, gallery)


def _check_matches(query: FeatureTable, gallery: FeatureTable) -> None:
    """Refuse tables in which no query has a true match, saying why."""
    wanted = np.unique(query.identities[query.identities != DISTRACTOR])
    known = np.unique(gallery.identities[gallery.identities != DISTRACTOR])
    common = np.intersect1d(wanted, known)
    if not common.size:
        raise InputError(
            f"no query has a possible match: the {len(wanted)} query identities ({_some(wanted)}) and "
            f"the {len(known)} gallery identities ({_some(known)}) have none in common; check that both come "
            "from the same data set."
        )
    # A shared identity has a match as soon as query and gallery together show it to two cameras.
    cameras = np.concatenate([query.cameras, gallery.cameras])
    identities = np.concatenate([query.identities, gallery.identities])
    shared = np.isin(identities, common)
    seen = np.unique(np.stack([identities[shared], cameras[shared]]), axis=1)
    if seen.shape[1] > len(common):
        return
    if len(np.unique(cameras)) == 1:
        raise InputError(
            f"no query has a possible match: every picture has camera {cameras[0]}, and the protocol leaves "
            "out gallery pictures of the query's own camera. Give the pictures their camera numbers; if the "
            "cameras are unknown, give all queries one number and the gallery another."
        )
    raise InputError(
        f"no query has a possible match: each of the {len(common)} shared identities ({_some(common)}) is "
        "seen by one camera only, and the protocol leaves out gallery pictures of the query's own camera. "
        "Check the camera numbers, or choose queries of people whom two cameras saw."
    )


def _some(identities: np.ndarray[Any, np.dtype[np.int64]]) -> str:
    """The first few identities, for a message."""
    return ", ".join(map(str, identities[:3].tolist())) + (", ..." if len(identities) > 3 else "")


def _from_json(value: dict[str, Any]) -> EvalResult:
    """The result from its JSON object; KeyError, TypeError or ValueError where that is damaged."""
    saved = value["per_query"]
    arrays: dict[str, Any] = {name: np.asarray(saved[name], dtype=kind) for name, kind in _PER_QUERY.items()}
    if {array.shape for array in arrays.values()} != {(value["queries"],)}:
        raise ValueError("the per-query results have other lengths than queries")
    fields = {name: value[name] for name in _SUMMARY}
    fields["cmc"] = tuple(float(share) for share in value["cmc"])
    return EvalResult(**fields, per_query=Ranking(**arrays, skipped=value["skipped"]))
