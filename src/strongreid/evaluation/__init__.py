"""How well features retrieve: protocols, re-ranking, how sure a figure is, unknown people, sheets and curves."""

from strongreid.evaluation.answers import answer_sheet
from strongreid.evaluation.baselines import colour_histogram
from strongreid.evaluation.breakdown import by_camera, by_identity, camera_pairs, distractor_curve
from strongreid.evaluation.calibration import Calibration, reliability
from strongreid.evaluation.calibration_report import CalibrationReport, calibrate
from strongreid.evaluation.centring import centre_cameras
from strongreid.evaluation.comparison import Comparison, compare_results
from strongreid.evaluation.crossdomain import cross_domain_table
from strongreid.evaluation.distances import Metric
from strongreid.evaluation.evaluate import evaluate
from strongreid.evaluation.expansion import augment_database, expand_queries
from strongreid.evaluation.figures import draw_cmc, draw_distances, draw_result, draw_roc
from strongreid.evaluation.flips import flip_sheet
from strongreid.evaluation.intervals import Interval, interval, interval_table, intervals
from strongreid.evaluation.matching import LeaveOut, Matching
from strongreid.evaluation.nearest import nearest_neighbours
from strongreid.evaluation.openset import OpenSetResult, open_set, split_identities, threshold_report
from strongreid.evaluation.pairs import PairDistances, collect_pairs
from strongreid.evaluation.protocols import PROTOCOLS, Protocol, evaluate_partitions, evaluate_protocol
from strongreid.evaluation.ranking import Ranking, rank_distances, rank_features, top_matches
from strongreid.evaluation.reranking import k_reciprocal, k_reciprocal_blocks
from strongreid.evaluation.result import Answers, EvalResult, Rerank, compare_table
from strongreid.evaluation.sheets import dataset_sheet, picture_grid, rank_sheet
from strongreid.evaluation.spread import Joined, join_results
from strongreid.evaluation.tracks import average_tracks, set_distances

__all__ = [
    "PROTOCOLS",
    "Answers",
    "Calibration",
    "CalibrationReport",
    "Comparison",
    "EvalResult",
    "Interval",
    "Joined",
    "LeaveOut",
    "Matching",
    "Metric",
    "OpenSetResult",
    "PairDistances",
    "Protocol",
    "Ranking",
    "Rerank",
    "answer_sheet",
    "augment_database",
    "average_tracks",
    "by_camera",
    "by_identity",
    "calibrate",
    "camera_pairs",
    "centre_cameras",
    "collect_pairs",
    "colour_histogram",
    "compare_results",
    "compare_table",
    "cross_domain_table",
    "dataset_sheet",
    "distractor_curve",
    "draw_cmc",
    "draw_distances",
    "draw_result",
    "draw_roc",
    "evaluate",
    "evaluate_partitions",
    "evaluate_protocol",
    "expand_queries",
    "flip_sheet",
    "interval",
    "interval_table",
    "intervals",
    "join_results",
    "k_reciprocal",
    "k_reciprocal_blocks",
    "nearest_neighbours",
    "open_set",
    "picture_grid",
    "rank_distances",
    "rank_features",
    "rank_sheet",
    "reliability",
    "set_distances",
    "split_identities",
    "threshold_report",
    "top_matches",
]
