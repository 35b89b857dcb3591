"""One gallery in a folder and one on a server, filled the same; tests that change one make their own."""

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.gallery.people import calibration, known, people

from strongreid.gallery import Gallery

URL = "http://localhost:6333"
QUIET = [  # of the client's in-memory mode
    "ignore:Payload indexes have no effect in the local Qdrant",
    "ignore:Local mode performs exact",
]


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/gallery" in str(item.path.as_posix()):
            for text in QUIET:
                item.add_marker(pytest.mark.filterwarnings(text))


@pytest.fixture(scope="module")
def in_memory_folder():
    """A folder where flushing costs nothing, if the system has one: these tests flush hundreds of times."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def tmp_path(in_memory_folder, request):
    folder = in_memory_folder / f"{len(list(in_memory_folder.iterdir()))}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()  # so that the next one has another number


@pytest.fixture(scope="session")
def memory():
    """Makes Qdrant clients in memory."""
    from qdrant_client import QdrantClient

    return lambda: QdrantClient(":memory:")


@pytest.fixture(scope="session", params=["folder", "server"])
def filled(request, tmp_path_factory, memory):
    """A gallery of 240 entries, not to be changed, and its table and what is known about the rows."""
    import warnings

    table = people()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if request.param == "folder":
            gallery = Gallery(tmp_path_factory.mktemp("filled") / "g", calibration=calibration())
        else:
            gallery = Gallery(URL, calibration=calibration(), client=memory())
        ids = gallery.add(table, ids=range(len(table)), **known(table))
    assert ids.tolist() == list(range(len(table)))
    yield gallery, table, known(table)
    gallery.close()


@pytest.fixture(params=["folder", "server"])
def empty(request, tmp_path, memory):
    """Makes new galleries, of either kind."""
    made, number = [], itertools.count()

    def make(**options):
        if request.param == "folder":
            made.append(Gallery(tmp_path / f"g{next(number)}", **options))
        else:
            made.append(Gallery(URL, client=memory(), **options))
        return made[-1]

    yield make
    for gallery in made:
        gallery.close()
