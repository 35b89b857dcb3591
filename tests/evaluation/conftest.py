"""The recorded evaluation of the paper authors' released code, and tables made from it."""

from pathlib import Path

import numpy as np
import pytest

from strongreid.features import FeatureTable


@pytest.fixture(scope="session")
def golden():
    with np.load(Path(__file__).parents[1] / "golden" / "evaluation.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def tables(golden):
    """The recorded query (160) and gallery (1200) tables, gallery distractors included."""
    return tuple(
        FeatureTable(
            golden[f"eval_{side}_feat"],
            golden[f"eval_{side}_pids"],
            golden[f"eval_{side}_cams"],
            tuple(f"{side}{row}.jpg" for row in range(len(golden[f"eval_{side}_pids"]))),
        )
        for side in "qg"
    )
