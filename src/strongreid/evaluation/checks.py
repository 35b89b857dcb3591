"""What every evaluation refuses: tables that are empty, do not belong together, or hold no possible match."""

from __future__ import annotations

import numpy as np

from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.evaluation.distances import Int64, Metric, check_comparable
from strongreid.evaluation.matching import Matching
from strongreid.features import FeatureTable


def check_tables(query: FeatureTable, gallery: FeatureTable, metric: Metric) -> None:
    """Refuse empty tables and tables that can't be compared with an InputError."""
    for name, table in (("query", query), ("gallery", gallery)):
        if not len(table):
            raise InputError(f"the {name} table is empty; look at the {name} folder or list it was made from.")
    check_comparable(query.features, gallery.features, metric)
    if query.model and gallery.model and query.model != gallery.model:
        raise InputError(
            f"the tables come from different models (query {query.model!r}, gallery {gallery.model!r}): "
            "their features can't be compared; extract both with the same model."
        )


def check_max_rank(max_rank: int) -> None:
    """Refuse a CMC of no length with an InputError."""
    if max_rank < 1:
        raise InputError(f"max_rank is the length of the CMC and at least 1, got {max_rank}.")


def check_matches(query: FeatureTable, gallery: FeatureTable, matching: Matching) -> None:
    """Refuse tables in which no query has a true match with an InputError that says why."""
    if any(matching.of(row)[0].size for row in range(len(query))):
        return
    wanted = np.unique(query.identities[query.identities != DISTRACTOR])
    known = np.unique(gallery.identities[gallery.identities != DISTRACTOR])
    common = np.intersect1d(wanted, known)
    if not common.size:
        raise InputError(
            f"no query has a possible match: the {len(wanted)} query identities ({_some(wanted)}) and "
            f"the {len(known)} gallery identities ({_some(known)}) have none in common; check that both come "
            "from the same data set."
        )
    if matching.rule == "same_picture":
        raise InputError(
            f"no query has a possible match: each of the {len(common)} shared identities ({_some(common)}) has one "
            "picture only, the query itself. Give queries of people who have several pictures."
        )
    cameras = np.unique(np.concatenate([query.cameras, gallery.cameras]))
    if len(cameras) == 1:
        raise InputError(
            f"no query has a possible match: every picture has camera {cameras[0]}, and the protocol leaves "
            "out gallery pictures of the query's own camera. Give the pictures their camera numbers; if the "
            'cameras are unknown, take leave_out="nothing", or "same_picture" where the queries are in the gallery.'
        )
    raise InputError(
        f"no query has a possible match: each of the {len(common)} shared identities ({_some(common)}) is "
        "seen by one camera only, and the protocol leaves out gallery pictures of the query's own camera. "
        "Check the camera numbers, or choose queries of people whom two cameras saw."
    )


def _some(identities: Int64) -> str:
    """The first few identities, for a message."""
    return ", ".join(map(str, identities[:3].tolist())) + (", ..." if len(identities) > 3 else "")
