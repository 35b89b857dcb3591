"""Results made up from the figures of their queries."""

import numpy as np

from strongreid.evaluation import Answers, EvalResult, Ranking


def made_result(precision, identities, *, first=None, paths=None, skipped=0, answers=None, **changes):
    """A result of n queries with these average precisions; `first` is the rank of the nearest match, else 1 or 2."""
    precision, identities = np.asarray(precision, dtype=np.float64), np.asarray(identities, dtype=np.int64)
    first = np.where(precision >= 0.5, 1, 2) if first is None else np.asarray(first, dtype=np.int64)
    ranking = Ranking(
        query=np.arange(len(precision)),
        average_precision=precision,
        inverse_negative_penalty=precision / 2,
        first_match_rank=first,
        identities=identities,
        cameras=np.ones(len(precision), dtype=np.int64),
        paths=tuple(f"query/{row:04d}.jpg" for row in range(len(precision))) if paths is None else tuple(paths),
        skipped=skipped,
    )
    fields = {
        "mAP": float(precision.mean()),
        "mINP": float(precision.mean() / 2),
        "cmc": tuple(ranking.cmc(50).tolist()),
        "queries": len(precision),
        "skipped": skipped,
        "gallery": 100,
        "metric": "cosine",
        "rerank": None,
        "model": "aa",
        "per_query": ranking,
        "answers": answers,
    }
    return EvalResult(**fields | changes)


def made_answers(pictures, right):
    """The same answers, whether right or not, to every query: (paths,), (n, k) booleans."""
    return Answers(
        paths=tuple(tuple(pictures) for _ in right),
        right=tuple(tuple(row) for row in right),
        distances=tuple(tuple(0.1 * place for place in range(len(row))) for row in right),
    )


def people(rng, identities, most=6):
    """The identities of simulated queries, 1 to `most` of each person."""
    return np.repeat(np.arange(identities), rng.integers(1, most + 1, identities))


def alike(rng, identities, share=0.5):
    """(n,) values in 0..1 of mean 0.5: `share` of each is the person's, the rest the query's."""
    person = rng.random(identities.max() + 1)[identities]
    return share * person + (1 - share) * rng.random(len(identities))
