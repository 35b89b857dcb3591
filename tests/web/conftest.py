"""A gallery of eight made people, 32 entries, with a page in front of it."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.web.made import ADDRESS, CAMERAS, ENROLLED, Histogram, calibration, table

from strongreid.gallery import Gallery
from strongreid.web import PictureFolders, create_app


@pytest.fixture(scope="session")
def in_memory_folder():
    """A folder where flushing costs nothing, if the system has one."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def tmp_path(in_memory_folder):
    folder = Path(tempfile.mkdtemp(dir=in_memory_folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def calibrated():
    return calibration()


@pytest.fixture(scope="session")
def pictures(in_memory_folder):
    """The folder of the enrolled pictures, and their table."""
    folder = in_memory_folder / "pictures"
    return folder, table(ENROLLED, folder=folder)


def known(rows):
    """What else is enrolled of each row."""
    return {
        "times": [1.7e9 + 3600 * row for row in range(rows)],
        "tracks": [None if row % 3 else f"t{row}" for row in range(rows)],
        "labels": {
            "site": [("north", "south")[row // len(CAMERAS) % 2] for row in range(rows)],
            "floor": [row % 3 for row in range(rows)],
            "hat": [row % 2 == 0 for row in range(rows)],
        },
    }


@pytest.fixture
def gallery(tmp_path, pictures, calibrated):
    """Filled anew for each test."""
    with Gallery(tmp_path / "people.gallery", calibration=calibrated) as opened:
        opened.add(pictures[1], **known(len(pictures[1])))
        yield opened


@pytest.fixture
def serve(gallery, pictures, tmp_path):
    """Makes clients of a page; what is not given is as a user on this machine has it."""

    def make(*, opened=gallery, extract=None, address=ADDRESS, keep=None, **options):
        options.setdefault("folders", PictureFolders([pictures[0]], keep=keep))
        app = create_app(opened, extract or Histogram(), **options)
        return stack.enter_context(TestClient(app, base_url=address))  # entered: one event loop, as a server has

    with contextlib.ExitStack() as stack:
        yield make


@pytest.fixture
def client(serve):
    return serve()


@pytest.fixture(scope="session")
def kept_open(in_memory_folder, pictures, calibrated):
    """One client for many requests that change nothing."""
    with Gallery(in_memory_folder / "open.gallery", calibration=calibrated) as opened:
        opened.add(pictures[1], **known(len(pictures[1])))
        app = create_app(opened, Histogram(), folders=PictureFolders([pictures[0]]))
        with TestClient(app, base_url=ADDRESS) as client:
            yield client
