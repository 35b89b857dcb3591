"""What several tests of the generated world look at, made once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from tests.synthetic.made import SMALL, SMALL_SCENE

from strongreid.synthetic import dataset
from strongreid.synthetic.dataset import write_set
from strongreid.synthetic.film import Frame
from strongreid.synthetic.street import render_scene

_world = cache(dataset.World)


@pytest.fixture
def built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cameras are built once for all tests."""
    monkeypatch.setattr(dataset, "World", _world)


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small set, written without a break; only read it."""
    root = tmp_path_factory.mktemp("unbroken") / "set"
    write_set(root, SMALL, processes=1)
    return root


@pytest.fixture(scope="session")
def filmed() -> list[Frame]:
    """All frames of the small scene."""
    return list(render_scene(SMALL_SCENE))
