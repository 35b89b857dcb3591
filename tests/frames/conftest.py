import pytest
from tests.frames.made import scene


@pytest.fixture(scope="session")
def filmed(tmp_path_factory):
    """A generated scene of two cameras and three people; not to be changed."""
    return scene(tmp_path_factory.mktemp("filmed") / "scene")
