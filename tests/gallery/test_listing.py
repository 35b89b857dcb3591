"""Entries page by page, one entry, and the values of a field; in a folder and on a server."""

from collections import Counter

import pytest

from strongreid.errors import InputError
from strongreid.gallery import Gallery, Only


def through(gallery, limit, only=None):
    """All entries, page by page."""
    found, start = [], 0
    while start is not None:
        page = gallery.entries(limit, start=start, only=only)
        assert len(page) <= limit
        found += page
        start = page.following
    return found


@pytest.mark.parametrize("limit", [7, 80, 1000])
def test_pages_give_every_entry_once_with_all_that_is_known(filled, limit):
    gallery, table, known = filled
    found = through(gallery, limit)
    assert [entry.id for entry in found] == list(range(len(table)))
    for entry in found[::17]:
        row = entry.id
        assert (entry.identity, entry.camera, entry.path) == (
            table.identities[row],
            table.cameras[row],
            table.paths[row],
        )
        assert (entry.time, entry.track) == (known["times"][row], known["tracks"][row])
        assert entry.labels == {
            name: values[row] for name, values in known["labels"].items() if values[row] is not None
        }
        assert isinstance(entry.labels["hat"], bool)
        assert gallery.entry(row) == entry


def test_pages_pass_the_filters_of_searches(filled):
    gallery, table, known = filled
    only = Only(cameras=[1, 3], identities=list(range(20)), labels={"hat": True})
    wanted = [row for row in range(120) if table.cameras[row] in (1, 3) and known["labels"]["hat"][row]]
    assert [entry.id for entry in through(gallery, 9, only)] == wanted
    assert gallery.entries(5, only=Only(cameras=99)).entries == ()


def test_values_are_counted(filled):
    gallery, table, known = filled
    assert dict(gallery.values("camera")) == Counter(table.cameras.tolist())
    assert dict(gallery.values("site")) == Counter(known["labels"]["site"])
    assert len(gallery.values("identity", 5)) == 5


def test_what_is_removed_is_in_no_page(empty):
    from tests.gallery.people import people

    gallery = empty()
    ids = sorted(gallery.add(people(2)).tolist())
    gallery.remove(ids=ids[2:4])
    assert [entry.id for entry in through(gallery, 3)] == ids[:2] + ids[4:]
    assert [entry.id for entry in gallery.entries(2, start=ids[2])] == ids[4:6], "a start that is gone"
    with pytest.raises(InputError, match=f"has no entry {ids[2]}"):
        gallery.entry(ids[2])


def test_printed_and_as_values(filled):
    gallery, _, _ = filled
    page = gallery.entries(2)
    assert page.table().splitlines()[-1] == "more: --start 2"
    assert page.to_dict()["entries"][1] == page[1].to_dict()
    assert page.csv().count("\n") == 3
    assert str(gallery.entries(5, only=Only(cameras=99))) == "no entries"


def test_what_is_out_of_range_is_refused(filled, tmp_path):
    gallery, _, _ = filled
    for call, message in (
        (lambda: gallery.entries(0), "limit is a whole number from 1 to 1000"),
        (lambda: gallery.entries(1001), "limit is a whole number"),
        (lambda: gallery.entries(True), "limit is a whole number"),
        (lambda: gallery.entries(5, start=-1), "start is an id"),
        (lambda: gallery.entries(5, start=2**53), "start is an id"),
        (lambda: gallery.entries(5, only=Only(labels={"colour": "red"})), "no label 'colour'"),
        (lambda: gallery.values("colour"), "unknown field 'colour'"),
        (lambda: gallery.values("camera", 0), "limit is a whole number"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    with Gallery(tmp_path / "none") as none:
        assert len(none.entries()) == 0
        assert none.values("camera") == []
