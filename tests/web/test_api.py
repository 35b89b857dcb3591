"""What the API answers: it shows what the gallery says, and what it does is done."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.web.made import CAMERAS, ENROLLED, MODEL, STRANGER, Histogram, encoded, person, scene

from strongreid.errors import InputError
from strongreid.gallery import Gallery
from strongreid.web import PictureFolders, create_app


def upload(*images, name="a.png"):
    return [
        ("pictures", (name, image if isinstance(image, bytes) else encoded(image), "image/png")) for image in images
    ]


def search(client, *images, status=200, **fields):
    """A search by pictures, or by fields alone."""
    files = upload(*images) or [("top_k", (None, "24"))]
    answer = client.post("/api/search", files=files, data={"top_k": 24, **fields} if images else fields)
    assert answer.status_code == status, answer.text
    return answer.json()


def ids(found):
    return [match["id"] for match in found["matches"]]


def test_info_tells_what_there_is_and_what_is_allowed(client, gallery):
    info = client.get("/api/info").json()
    assert (info["gallery"], info["entries"], info["model"], info["made"]) == ("people.gallery", 32, MODEL, True)
    assert info["cameras"] == [{"value": camera, "entries": 8} for camera in CAMERAS]
    assert info["labels"] == {"site": "text", "floor": "whole", "hat": "flag"}
    assert {one["value"]: one["entries"] for one in info["label_values"]["hat"]} == {True: 16, False: 16}
    own = gallery.description.calibration
    assert (info["threshold"], info["fpr"], info["calibrated_on"]) == (own.threshold(), 0.01, "other people")
    assert info["thresholds"]["0.01"] == own.threshold(0.01)
    assert info["pictures_shown"]
    assert not info["uploads_kept"]
    assert info["removed_not_compacted"] == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_picture_finds_its_person_as_the_gallery_does(client, gallery, kind):
    data = encoded(person(3, camera=7), kind)
    found = search(client, data)
    assert found["answer"] == "3"
    first = found["matches"][0]
    assert (first["rank"], first["identity"], first["known"], first["who"]) == (1, 3, True, "3")
    expected = gallery.search(Histogram()([Image.open(io.BytesIO(data))]), top_k=24)
    assert ids(found) == [match.id for match in expected]
    for match, other in zip(found["matches"], expected, strict=True):
        assert match["probability"] == pytest.approx(other.probability)
        assert (match["path"], match["time"], match["labels"]) == (other.path, other.time, other.labels)
        assert match["picture"]
    assert found["threshold"] == expected.threshold
    assert first["time_text"].startswith("2023-11-1")


def test_somebody_else_is_unknown(client):
    found = search(client, person(STRANGER))
    assert found["answer"] == "unknown"
    assert {match["known"] for match in found["matches"]} == {False}


def test_a_box_is_searched_for_instead_of_the_picture(client):
    image, boxes = scene([2, 5, STRANGER])
    for box, wanted in zip(boxes, ("2", "5", "unknown"), strict=True):
        assert search(client, image, boxes=",".join(map(str, box)))["answer"] == wanted
    turned = image.transpose(Image.Transpose.ROTATE_90)  # as a phone stores it: EXIF says how to turn it back
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(turned, "JPEG", exif=exif, quality=98)
    assert search(client, data, boxes=",".join(map(str, boxes[1])))["answer"] == "5"


def test_several_pictures_entries_and_not_like_those(client, gallery):
    both = search(client, person(4, 7), person(4, 8), boxes=["", ""], combine="best")
    assert (both["answer"], both["pictures"]) == ("4", 2)
    by_entry = search(client, entries=[0, 1])
    assert by_entry["answer"] == "1"
    assert not {0, 1} & set(ids(by_entry)), "what was asked for is left out"
    expected = gallery.search(gallery.features([0, 1]), top_k=26, unlike=gallery.features([5]))
    away = search(client, entries=[0, 1], unlike=[5])
    assert ids(away) == [match.id for match in expected if match.id not in (0, 1, 5)][:24]


def test_filters_options_and_what_they_refuse(client, gallery):
    image = person(3, 7)
    only = {
        "cameras": [2, 3],
        "where": ["site=north", "hat=true", "hat=false"],
        "since": "1700000000",
        "before": "2024-01-01",
    }
    found = search(client, image, **only)
    expected = gallery.search(
        Histogram()([image]), top_k=24, cameras=[2, 3], labels={"site": ["north"], "hat": [True, False]}
    )
    assert ids(found) == [match.id for match in expected]
    assert len(found["matches"]) == 8
    assert {match["camera"] for match in search(client, image, not_cameras=[2])["matches"]} == {1, 3, 4}
    assert {match["identity"] for match in search(client, image, identities=[4, 5])["matches"]} == {4, 5}
    assert search(client, image, cameras=[9])["answer"] == "unknown"
    reranked = search(client, image, rerank="k_reciprocal")["matches"]
    assert [match["reranked"] for match in reranked] == sorted(match["reranked"] for match in reranked)
    low, high = (search(client, image, prior=prior)["matches"][0]["probability"] for prior in (0.01, 0.9))
    assert low < high
    for fields, status, message in (
        ({"where": "colour=red"}, 400, "no label 'colour'"),
        ({"where": "colour"}, 422, "LABEL=VALUE"),
        ({"where": "floor=two"}, 422, "floor is a whole number"),
        ({"where": "hat=2"}, 422, "hat is true or false"),
        ({"since": "yesterday"}, 400, "a time is a number of seconds or a date"),
        ({"since": "5", "before": "4"}, 400, "ends before it begins"),
        ({"fpr": "0.5"}, 400, "no threshold for a false positive rate of 0.5"),
        ({"prior": "1"}, 422, "prior: "),
        ({"prior": "nan"}, 422, "prior: "),
        ({"top_k": "501"}, 422, "top_k: "),
        ({"rerank": "magic"}, 422, "rerank: "),
        ({"colour": "red"}, 422, "colour: extra inputs"),
        ({"boxes": ["", ""]}, 422, "2 boxes for 1 pictures"),
        ({"boxes": "1,2,3"}, 422, "a box is LEFT,TOP,WIDTH,HEIGHT"),
        ({"boxes": "0,0,2,2"}, 422, "4 pixels or more"),
        ({"boxes": "-1,0,9,9"}, 422, "begins inside"),
        ({"boxes": "20,20,30,30"}, 422, "reaches beyond the picture, which has 32 x 64"),
        ({"unlike": "99"}, 404, "no entry 99"),
    ):
        said = search(client, image, status=status, **fields)
        assert set(said) == {"error"}
        assert re.search(re.escape(message), said["error"], re.IGNORECASE), said
    assert "nothing to look for" in search(client, unlike=[1], status=422)["error"]


def test_a_result_as_csv(client):
    found = search(client, person(3, 7), top_k=5)
    answer = client.get(f"/api/results/{found['result']}.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["id"]) for row in rows] == ids(found)
    assert [int(row["rank"]) for row in rows] == [1, 2, 3, 4, 5]
    assert float(rows[0]["probability"]) == found["matches"][0]["probability"]
    assert client.get("/api/results/nothing.csv").status_code == 404


def test_texts_that_a_spreadsheet_would_run_are_made_harmless(client):
    formula = '=HYPERLINK("http://elsewhere","look")'
    fields = {"camera": 1, "identity": 70, "track": "@x", "labels": [f"note={formula}"]}
    assert client.post("/api/enrol", files=upload(person(70)), data=fields).status_code == 200
    found = search(client, person(70), top_k=1)
    assert found["matches"][0]["labels"]["note"] == formula
    row = next(csv.DictReader(io.StringIO(client.get(f"/api/results/{found['result']}.csv").text)))
    assert (row["note"], row["track"]) == (f"'{formula}", "'@x")


def test_only_the_latest_results_are_kept(serve):
    from strongreid.web import Limits

    client = serve(limits=Limits(results=2))
    names = [search(client, entries=[0])["result"] for _ in range(3)]
    assert [client.get(f"/api/results/{name}.csv").status_code for name in names] == [404, 200, 200]


def test_browsing_pages_filters_and_pictures(client, gallery):
    found, start = [], 0
    while start is not None:
        page = client.get("/api/entries", params={"start": start, "limit": 9, "cameras": [1, 2]}).json()
        found += page["entries"]
        start = page["following"]
    assert [entry["id"] for entry in found] == [entry.id for entry in gallery.entries(1000) if entry.camera in (1, 2)]
    assert client.get("/api/entries/3").json() == {**found[0], **client.get("/api/entries/3").json()}
    assert client.get("/api/entries/99").status_code == 404
    answer = client.get("/api/entries/0/picture", params={"size": 48})
    assert answer.headers["content-type"] == "image/jpeg"
    shown = Image.open(io.BytesIO(answer.content))
    assert shown.size == (24, 48)
    original = np.asarray(person(1, 1).resize((24, 48)), np.float64)
    assert np.abs(np.asarray(shown, np.float64) - original).mean() < 12
    assert client.get("/api/entries", params={"limit": 0}).status_code == 422
    assert client.get("/api/entries", params={"where": "colour=red"}).status_code == 400


def test_enrolling_without_keeping_pictures(client, gallery, tmp_path):
    before = sorted(path.name for path in tmp_path.rglob("*.png"))
    fields = {
        "identity": 77,
        "camera": 2,
        "time": "2026-03-01T08:30:00Z",
        "labels": ["site=north", "floor=2", "hat=yes"],
    }
    answer = client.post("/api/enrol", files=upload(person(77), person(77, 2)), data=fields)
    assert answer.json() == {"ids": [32, 33], "entries": 34, "kept": False}
    entry = gallery.entry(33)
    assert (entry.identity, entry.camera, entry.path, entry.time) == (77, 2, "", 1772353800.0)
    assert entry.labels == {"site": "north", "floor": 2, "hat": True}
    assert not client.get("/api/entries/33").json()["picture"]
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == before
    assert search(client, person(77, 3))["answer"] == "77"


def test_kept_pictures_are_ours_by_name_shown_and_deleted_with_their_entry(serve, gallery, tmp_path):
    keep = tmp_path / "kept"
    client = serve(keep=keep)
    exif = Image.Exif()
    exif[0x010E] = "a secret description"
    data = encoded(person(77, size=(64, 128)), "JPEG", exif=exif, quality=95)
    files = [("pictures", ("../../evil.jpg", data, "image/jpeg"))]
    answer = client.post("/api/enrol", files=files, data={"identity": 77, "boxes": "8,0,48,128"}).json()
    (path,) = keep.iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{32}\.png", path.name)
    assert gallery.entry(answer["ids"][0]).path == str(path)
    with Image.open(path) as kept:
        assert (kept.format, kept.size, dict(kept.getexif())) == ("PNG", (48, 128), {})
    assert b"secret" not in path.read_bytes()
    assert client.get(f"/api/entries/{answer['ids'][0]}/picture").status_code == 200
    removed = client.post("/api/remove", json={"identity": 77}).json()
    assert (removed["removed"], removed["pictures_deleted"], removed["pictures_left"]) == (1, 1, 0)
    assert list(keep.iterdir()) == []


def test_nothing_is_kept_of_what_can_t_be_enrolled(serve, gallery, tmp_path):
    keep = tmp_path / "kept"
    client = serve(keep=keep)
    for fields, message in (
        ({"time": "soon"}, "a time is"),
        ({"labels": "floor=x"}, "floor is a whole number"),
        ({"labels": ["a=1", "a=2"]}, "a label is given once"),
        ({"labels": "path=x"}, "a label's name"),
        ({"identity": -2}, "identity: "),
        ({"camera": 2**60}, "camera: "),
    ):
        answer = client.post("/api/enrol", files=upload(person(77)), data=fields)
        assert answer.status_code in (400, 422)
        assert message in answer.json()["error"]
    assert "no picture to enrol" in client.post("/api/enrol", files=[("camera", (None, "1"))]).json()["error"]
    assert len(gallery) == 32
    assert list(keep.iterdir()) == []


def test_removing_and_compacting(client, gallery):
    kept = search(client, entries=[0])["result"]
    for body, status in (({}, 422), ({"ids": []}, 422), ({"ids": [1], "identity": 1}, 422), ({"ids": [99]}, 400)):
        answer = client.post("/api/remove", json=body)
        assert (answer.status_code, set(answer.json())) == (status, {"error"})
    assert client.post("/api/remove", json={"ids": [0, 1]}).json()["removed"] == 2
    removed = client.post("/api/remove", json={"identity": 4}).json()
    assert (removed["removed"], removed["entries"], removed["removed_not_compacted"]) == (4, 26, 6)
    assert 4 not in {match["identity"] for match in search(client, person(4))["matches"]}
    assert client.get("/api/entries/0").status_code == 404
    assert client.get(f"/api/results/{kept}.csv").status_code == 404, "results may name what is gone"
    assert client.post("/api/remove", json={"before": "1700020000"}).json()["removed"] > 0
    assert client.post("/api/compact").json()["removed_not_compacted"] == 0
    assert [line["what"] for line in gallery.audit()][-2:] == ["remove", "compact"]


def test_a_gallery_begins_with_the_first_entry(serve, tmp_path):
    with Gallery(tmp_path / "new") as opened:
        client = serve(opened=opened)
        info = client.get("/api/info").json()
        assert (info["made"], info["entries"], info["cameras"]) == (False, 0, [])
        assert client.get("/api/entries").json() == {"entries": [], "following": None}
        assert "enrol somebody first" in search(client, person(1), status=409)["error"]
        assert client.post("/api/enrol", files=upload(person(1)), data={"identity": 1}).json()["ids"] == [0]
        found = search(client, person(1))
        assert (found["answer"], found["threshold"], found["matches"][0]["probability"]) == ("1", None, None)


def test_features_of_another_model_are_refused_at_the_start(gallery):
    other = Histogram()
    other.fingerprint = "d" * 64
    with pytest.raises(InputError, match="name the gallery's model"):
        create_app(gallery, other)


def test_the_description_is_there_and_asks_no_other_host(client):
    schema = client.get("/openapi.json").json()
    assert {"/api/info", "/api/entries", "/api/search", "/api/enrol", "/api/remove", "/api/compact"} <= set(
        schema["paths"]
    )
    for path in ("/docs", "/redoc"):
        assert client.get(path).status_code == 404
    page = Path(__import__("strongreid.web").web.__file__).parent / "page"
    for file in page.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|@import|url\(", text), file
        assert "innerHTML" not in text


def test_the_page_and_its_files_are_given_with_tags(client):
    for path, kind in (("/", "text/html"), ("/page/page.css", "text/css"), ("/page/page.js", "text/javascript")):
        answer = client.get(path)
        assert answer.headers["content-type"].startswith(kind)
        again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/page/__init__.py").json() == {"error": "there is no such file."}


def test_searches_go_on_while_others_enrol(client, gallery):
    from concurrent.futures import ThreadPoolExecutor

    def work(number):
        if number % 3 == 0:
            return client.post("/api/enrol", files=upload(person(200 + number)), data={"identity": 200 + number})
        return client.post("/api/search", files=upload(person(3, 7)))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(work, range(18)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(gallery) == 32 + 6
    assert all(a.json()["answer"] == "3" for number, a in enumerate(answers) if number % 3)
    assert {entry.identity for entry in gallery.entries(100)} == {*ENROLLED, *range(200, 218, 3)}


def test_folders_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        PictureFolders([tmp_path / "none"])
