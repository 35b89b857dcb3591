"""Who may ask, what may be shown, and what is refused before it costs anything."""

import re
import struct
import threading
import zlib

import pytest
from starlette.testclient import TestClient
from tests.web.made import ADDRESS, Histogram, encoded, person
from tests.web.test_api import upload

from strongreid.errors import InputError
from strongreid.web import Access, Limits, create_app
from strongreid.web.access import SHORTEST

FILE_HEAD = b'--b\r\nContent-Disposition: form-data; name="pictures"; filename="a"\r\n\r\n'
TOKEN = "correct horse battery staple"


def png_of(width, height, data=b"\0"):
    """A PNG whose header says anything."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1234", "[::1]:8000"])
def test_a_local_server_is_known_by_its_local_names(kept_open, host):
    assert kept_open.get("/api/info", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.7", "", "localhost@x"]
)
def test_other_names_are_refused_against_dns_rebinding(kept_open, host):
    for path in ("/", "/api/info", "/openapi.json", "/page/page.js"):
        answer = kept_open.get(path, headers={"host": host})
        assert answer.status_code == 421
        assert "host name" in answer.json()["error"]


def test_an_open_server_has_a_token_and_is_known_by_addresses():
    access = Access.of("0.0.0.0", names=["search.example"])
    assert len(access.token) >= 40
    assert Access.of("0.0.0.0").token != access.token, "made anew each time"
    for host in ("192.168.1.5:8000", "search.example", "localhost:8000", "[fe80::1]:8000"):
        assert access.knows(host), host
    assert not access.knows("evil.example")
    assert Access.of("127.0.0.1").token is None
    assert access.token not in repr(access)
    for token in ("short", "x" * (SHORTEST - 1), "ü" * 20, "with\nline ends in it"):
        with pytest.raises(InputError, match="a token has 16"):
            Access.of("127.0.0.1", token)


def test_everything_but_the_empty_page_takes_the_token(serve):
    client = serve(access=Access.of("127.0.0.1", TOKEN))
    for method, path in (
        ("GET", "/api/info"),
        ("GET", "/api/entries"),
        ("GET", "/api/entries/0/picture"),
        ("GET", "/openapi.json"),
        ("GET", "/api/nothing"),
        ("POST", "/api/search"),
        ("POST", "/api/remove"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert TOKEN not in answer.text
    assert client.get("/").status_code == client.get("/page/page.js").status_code == 200
    for authorization in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN):
        assert client.get("/api/info", headers={"authorization": authorization}).status_code == 401
    assert client.get("/api/info", headers={"authorization": f"bearer {TOKEN}"}).status_code == 200


def test_entering_the_token_sets_a_cookie_that_is_not_the_token(serve):
    client = serve(access=Access.of("127.0.0.1", TOKEN))
    for body in (b'{"token": ""}', b'{"token": "wrong"}', b'{"token": "\\ud800"}', b"{}", b"[]", b"{"):
        answer = client.post("/api/login", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (401, 422)
        assert "set-cookie" not in answer.headers
    answer = client.post("/api/login", json={"token": TOKEN})
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 204
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert client.get("/api/info").status_code == 200
    given = cookie.partition(";")[0]
    other = serve(access=Access.of("127.0.0.1", TOKEN))
    assert other.get("/api/info", headers={"cookie": given}).status_code == 401, "a cookie of another process"
    for cookies, status in (("strongreid=stale", 401), (f"a=b; {given}", 200), (f"strongreid=old; {given}", 200)):
        fresh = TestClient(client.app, base_url=ADDRESS)
        assert fresh.get("/api/info", headers={"cookie": cookies}).status_code == status, cookies


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": ADDRESS},
    ],
)
def test_requests_of_other_sites_are_refused(client, gallery, headers):
    for path in ("/api/remove", "/api/enrol", "/api/search", "/api/compact", "/api/login"):
        answer = client.post(path, json={"ids": [0]}, headers=headers)
        assert answer.status_code == 403
        assert "another site" in answer.json()["error"]
    assert client.get("/api/entries", headers=headers).status_code == 403
    assert client.get("/", headers=headers).status_code == 200, "following a link to the page is no harm"
    assert len(gallery) == 32


def test_our_own_page_and_programs_are_let_pass(client):
    ours = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}
    assert client.post("/api/remove", json={"ids": [0]}, headers=ours).status_code == 200
    assert client.post("/api/remove", json={"ids": [1]}).status_code == 200


def test_every_answer_says_what_a_browser_may_do_with_it(kept_open):
    for path in ("/", "/page/page.js", "/api/info", "/api/entries/0/picture", "/api/nothing"):
        headers = kept_open.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
    assert kept_open.get("/api/entries/0/picture").headers["cache-control"] == "no-store"
    assert kept_open.get("/", headers={"host": "evil.example"}).headers["x-frame-options"] == "DENY"


def bad_uploads():
    """By name: a file, the status or statuses it may get, and a part of what is said."""
    good = encoded(person(1, size=(64, 128)), "JPEG")
    progressive = encoded(person(1, size=(64, 128)), "JPEG", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    return {
        "empty": (b"", [422], "is empty"),
        "text": (b"<script>alert(1)</script>" * 9, [415], "not a JPEG"),
        "gif": (encoded(person(1).convert("P"), "GIF"), [415], "not a JPEG"),
        "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', [415], "not a JPEG"),
        "tiff": (encoded(person(1), "TIFF"), [415], "not a JPEG"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", [415], "not a JPEG"),
        "cut": (good[: len(good) // 2], [422], "cut short"),
        "cut png": (encoded(person(1))[:90], [422], "cut short"),
        "cut webp": (encoded(person(1), "WEBP")[:60], [415, 422], ""),
        "huge": (png_of(60_000, 60_000), [413], "25 million pixels"),
        "large": (png_of(6_000, 5_000), [413], "25 million pixels"),
        "widest": (png_of(2**31 - 1, 2**31 - 1), [413, 415, 422], ""),
        "thin": (png_of(1, 9_000), [422], "nobody can be seen"),
        "short of pixels": (png_of(4_000, 4_000, b"\0" * 10), [422], "cut short"),
        "scans": (progressive[:last] + progressive[last:-2] * 200 + progressive[-2:], [422], "more scans"),
        "bytes": (b"\xff\xd8\xff" + b"\0" * 16_000_001, [413], "16 MB"),
    }


@pytest.mark.parametrize(("data", "statuses", "message"), [pytest.param(*c, id=n) for n, c in bad_uploads().items()])
def test_bad_pictures_are_refused_in_a_sentence(kept_open, data, statuses, message):
    answer = kept_open.post("/api/search", files=upload(data))
    assert answer.status_code in statuses, answer.text
    assert set(answer.json()) == {"error"}
    assert message in answer.json()["error"]


def test_a_decompression_bomb_is_refused_by_its_header(kept_open, monkeypatch):
    def decoded(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    bomb = png_of(20_000, 20_000, b"\0" * 1_000_000)
    assert len(bomb) < 10_000
    assert kept_open.post("/api/search", files=upload(bomb)).status_code == 413


def test_requests_are_limited_in_bytes_pictures_and_fields(serve):
    client = serve(limits=Limits(request_bytes=200_000, picture_bytes=100_000, pictures=2, fields=20))
    small = encoded(person(1))
    for files, data, message in (
        (upload(small, small, small), {}, "at most 2 pictures"),
        (upload(small), {"cameras": list(range(30))}, "too many fields"),
        (upload(small), {"since": "x" * 5000}, "too long"),
        (upload(b"x" * 150_000), {}, "0.1 MB are allowed"),
        (upload(b"x" * 90_000, b"x" * 90_000, b"x" * 90_000), {}, "larger than 0.2 MB"),
    ):
        answer = client.post("/api/search", files=files, data=data)
        assert answer.status_code == 413, answer.text
        assert message in answer.json()["error"]

    def pieces():  # no length is told
        yield b"--b\r\n"
        for _ in range(100):
            yield b"x" * 10_000

    kind = {"content-type": "multipart/form-data; boundary=b"}
    assert client.post("/api/search", content=pieces(), headers=kind).status_code in (400, 413)
    kind = {"content-type": "application/json"}
    assert client.post("/api/remove", content=b"[" * 70_000, headers=kind).status_code == 413
    assert client.post("/api/remove", content=b"[" * 60_000, headers=kind).status_code in (400, 422)


def test_a_body_without_a_length_is_read_no_further_than_allowed(kept_open):
    read = 0

    def pieces():
        nonlocal read
        yield FILE_HEAD
        for _ in range(100):
            read += 1_000_000
            yield b"x" * 1_000_000

    kind = {"content-type": "multipart/form-data; boundary=b"}
    answer = kept_open.post("/api/search", content=pieces(), headers=kind)
    assert (answer.status_code, "larger than 40 MB" in answer.json()["error"]) == (413, True)


def test_a_body_that_does_not_arrive_is_given_up(serve):
    import asyncio

    client = serve(limits=Limits(seconds=0.1, login_seconds=0.1))
    for path, kind in (("/api/search", "multipart/form-data; boundary=b"), ("/api/login", "application/json")):
        sent = []

        async def never():
            await asyncio.sleep(30)

        async def send(message, sent=sent):
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", kind.encode())]
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
        scope |= {
            "headers": headers,
            "scheme": "http",
            "server": ("localhost", 80),
            "root_path": "",
            "http_version": "1.1",
        }
        client.portal.call(client.app, scope, never, send)
        assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("application/json", b"{}", 415),
        ("application/x-www-form-urlencoded", b"entries=1", 415),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=b", b"no part at all", 400),
        ("multipart/form-data; boundary=b", FILE_HEAD + b"and here the connection ends", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nx\r\n", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", 400),
    ],
)
def test_forms_that_are_none_are_refused(kept_open, kind, content, status):
    answer = kept_open.post("/api/search", content=content, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}


def test_more_requests_than_can_be_worked_on_are_told_to_come_back(serve):
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Slow(Histogram):
        def __call__(self, pictures):
            begun.release()
            assert go_on.wait(20)
            return super().__call__(pictures)

    client = serve(extract=Slow(), limits=Limits(requests=1))
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(client.post("/api/search", files=upload(person(1))).status_code)
    )
    waiting.start()
    assert begun.acquire(timeout=20)
    answer = client.post("/api/search", files=upload(person(1)))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert client.get("/api/info").status_code == 200, "looking goes on"
    go_on.set()
    waiting.join(20)
    assert answers == [200]
    assert client.post("/api/search", files=upload(person(1))).status_code == 200


HOSTILE = [
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "a\0b.png",
        "..\\..\\x",
        "x" * 300,
        "\u202egnp.exe",
        "<img src=x>.png",
        "CON",
    ),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_uploads_are_never_used(serve, tmp_path, name):
    client = serve(keep=tmp_path / "kept")
    head = b'--b\r\nContent-Disposition: form-data; name="pictures"; filename="' + name.encode() + b'"\r\n\r\n'
    body = head + encoded(person(60)) + b"\r\n--b--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=b"}
    answer = client.post("/api/enrol", content=body, headers=kind)
    assert answer.status_code in (200, 400), answer.text
    made = [path for path in tmp_path.rglob("*") if path.is_file() and "people.gallery" not in path.parts]
    assert len(made) == (answer.status_code == 200)
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{32}\.png", path.name) for path in made)
    assert all(path.parent == tmp_path / "kept" for path in made)


def test_what_fails_inside_says_nothing_of_it(gallery):
    class Broken(Histogram):
        def __call__(self, pictures):
            raise RuntimeError(f"/home/somebody/secret/{len(pictures)}")

    client = TestClient(create_app(gallery, Broken()), base_url=ADDRESS, raise_server_exceptions=False)
    answer = client.post("/api/search", files=upload(person(1)))
    assert answer.status_code == 500
    assert set(answer.json()) == {"error"}
    assert "secret" not in answer.text
