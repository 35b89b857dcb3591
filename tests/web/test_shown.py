"""Which pictures the page shows, and what of them."""

import io
import os

from PIL import Image
from starlette.testclient import TestClient
from tests.web.made import ADDRESS, Histogram, encoded, person, table

from strongreid.gallery import Gallery
from strongreid.web import PictureFolders, create_app


def test_only_files_below_the_given_folders_are_shown(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "deep", outside, tmp_path / "inside_too"):
        folder.mkdir(parents=True)
        person(1).save(folder / "a.png")
    (inside / "leads_out.png").symlink_to(outside / "a.png")
    (inside / "way_out").symlink_to(outside)
    (inside / "leads_in.png").symlink_to(inside / "deep" / "a.png")
    (inside / "circle.png").symlink_to(inside / "circle.png")
    (inside / "text.png").write_text("secret")
    os.mkfifo(inside / "pipe.png")
    folders = PictureFolders([inside])
    shown = {
        str(inside / "deep" / "a.png"): True,
        str(inside / "leads_in.png"): True,
        "deep/a.png": True,
        str(inside / "deep" / ".." / "deep" / "a.png"): True,
        str(inside / "leads_out.png"): False,
        str(inside / "way_out" / "a.png"): False,
        str(inside / ".." / "outside" / "a.png"): False,
        "../outside/a.png": False,
        str(outside / "a.png"): False,
        str(tmp_path / "inside_too" / "a.png"): False,
        str(inside / "circle.png"): False,
        str(inside / "pipe.png"): False,
        str(inside / "text.png"): False,
        str(inside): False,
        "": False,
        "/etc/passwd": False,
        "a\0b": False,
        "x" * 5000: False,
    }
    for path, wanted in shown.items():
        assert (folders.thumbnail(path, 64) is not None) == wanted, path[:80]
    assert PictureFolders().thumbnail(str(inside / "deep" / "a.png"), 64) is None, "none without a folder"


def test_an_entry_s_path_leads_nowhere_else(tmp_path, calibrated):
    secret = tmp_path / "secret.png"
    person(1).save(secret)
    (tmp_path / "shown").mkdir()
    rows = table((1,), cameras=(1,))
    with Gallery(tmp_path / "g") as opened:
        opened.add(type(rows)(rows.features, rows.identities, rows.cameras, (str(secret),), rows.model))
        app = create_app(opened, Histogram(), folders=PictureFolders([tmp_path / "shown"]))
        client = TestClient(app, base_url=ADDRESS)
        assert not client.get("/api/entries/0").json()["picture"]
        for path in (
            "/api/entries/0/picture",
            "/api/entries/0/picture?path=/etc/passwd",
            "/api/entries/..%2f0/picture",
        ):
            assert client.get(path).status_code in (404, 422)
        for path in ("/page/..%2fapp.py", "/page/../app.py", "/page/%2e%2e/app.py", "/page/page.js%00.css"):
            assert client.get(path).status_code == 404


def test_shown_pictures_carry_no_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    (tmp_path / "a.jpg").write_bytes(encoded(person(60), "JPEG", exif=exif, comment=b"a comment"))
    made = PictureFolders([tmp_path]).thumbnail("a.jpg", 64)
    assert b"home" not in made
    assert b"comment" not in made
    with Image.open(io.BytesIO(made)) as image:
        assert not image.getexif()
        assert "icc_profile" not in image.info
