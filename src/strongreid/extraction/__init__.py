"""From pictures to features with a trained model, by torch or an exported network."""

from strongreid.extraction.extractor import Extractor, feature_table
from strongreid.extraction.folders import extract_folder, read_records
from strongreid.extraction.judging import (
    calibrate_model,
    evaluate_model,
    evaluate_models,
    query_and_gallery,
    report_model,
)
from strongreid.extraction.pictures import Picture

__all__ = [
    "Extractor",
    "Picture",
    "calibrate_model",
    "evaluate_model",
    "evaluate_models",
    "extract_folder",
    "feature_table",
    "query_and_gallery",
    "read_records",
    "report_model",
]
