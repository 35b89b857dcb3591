"""How well features retrieve: protocol, re-ranking, cheap baselines, and sheets to look at."""

from strongreid.evaluation.baselines import colour_histogram
from strongreid.evaluation.distances import Metric
from strongreid.evaluation.evaluate import EvalResult, Rerank, compare_table, evaluate
from strongreid.evaluation.ranking import Ranking, rank_distances, rank_features, top_matches
from strongreid.evaluation.reranking import k_reciprocal
from strongreid.evaluation.sheets import dataset_sheet, picture_grid, rank_sheet

__all__ = [
    "EvalResult",
    "Metric",
    "Ranking",
    "Rerank",
    "colour_histogram",
    "compare_table",
    "dataset_sheet",
    "evaluate",
    "k_reciprocal",
    "picture_grid",
    "rank_distances",
    "rank_features",
    "rank_sheet",
    "top_matches",
]
