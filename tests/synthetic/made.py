"""A small set and a small scene, for the tests of what is written from them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from strongreid.synthetic.dataset import WorldSettings
from strongreid.synthetic.street import SceneSettings

SMALL = WorldSettings(train_identities=6, test_identities=2, cameras=2, height=32, width=16, frames_max=3, junk=0.5)
SMALL_SCENE = SceneSettings(seed=3, cameras=2, people=4, frames=12, width=320, height=180, fps=5)


def contents(root: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by path."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def partial_of(root: Path) -> Path:
    """Where a set grows."""
    return root.with_name(f".{root.name}.partial")
