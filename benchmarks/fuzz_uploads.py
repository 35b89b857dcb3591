"""Send thousands of broken and hostile uploads to the page: does anything crash, grow, or touch a file outside?

    PYTHONPATH=. python benchmarks/fuzz_uploads.py --uploads 10000 --seed 0

Truncated and mangled JPEG, PNG, WebP and BMP, headers that lie, decompression bombs, wrong types, hostile names,
boxes, EXIF and multipart bodies, to /api/search and /api/enrol in this process. Every answer has to be JSON: either
what was asked for, or a 4xx with one sentence. An audit hook of the interpreter sees every file that Python opens for
writing, makes, renames or deletes, every process and every connection; one outside the gallery fails the run. The
peak of memory is printed.
"""

import argparse
import io
import json
import resource
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

KINDS = ("JPEG", "PNG", "WEBP", "BMP")
NAMES = [
    *(
        "../../../etc/passwd",
        "/etc/passwd",
        "a\0.png",
        "..\\..\\a",
        "x" * 5000,
        "<script>",
        "\u202egnp.exe",
        "CON",
        "",
    ),
    *(
        "file:///etc/passwd",
        "|id",
        "$(id)",
        "`id`",
        "%00",
        "a\r\nX-Evil: 1",
        "=1+1",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ),
]
FOREIGN = [
    b"GIF89a" + b"\0" * 50,
    b"%PDF-1.7\n",
    b"PK\x03\x04" + b"\0" * 40,
    b"II*\0" + b"\0" * 60,
    b"MM\0*" + b"\xff" * 60,
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n",
    b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    b"\0\0\0\x20ftypavif" + b"\0" * 60,
    b"#define im_width 99999\n#define im_height 99999\n",
    b"P6 99999 99999 255\n",
    b"",
]


def picture(draw: Random, kind: str) -> bytes:
    """A good one, of any size and mode."""
    size = draw.randint(1, 90), draw.randint(1, 90)
    mode = draw.choice(
        ["RGB", "L", "P", "1"] if kind == "BMP" else ["RGB", "L"] if kind == "JPEG" else ["RGB", "RGBA"]
    )
    pixels = np.frombuffer(draw.randbytes(size[0] * size[1] * 3), np.uint8).reshape(size[1], size[0], 3)
    file = io.BytesIO()
    options: dict[str, Any] = {}
    if kind == "JPEG":
        options = {"progressive": draw.random() < 0.5, "quality": draw.randint(1, 100)}
    if kind != "BMP" and draw.random() < 0.3:
        options["exif"] = b"Exif\0\0" + draw.randbytes(draw.randint(0, 200))
    if kind == "PNG" and draw.random() < 0.2:
        notes = PngImagePlugin.PngInfo()
        notes.add_text("bomb", "a" * draw.choice([10, 2_000_000]), zip=True)
        options["pnginfo"] = notes
    if kind in ("PNG", "WEBP") and draw.random() < 0.2:
        frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
        options |= {"save_all": True, "append_images": frames}
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def truncated(draw: Random, data: bytes) -> bytes:
    """The beginning."""
    return data[: draw.randint(0, len(data))]


def flipped(draw: Random, data: bytes) -> bytes:
    """A few bytes changed, most of them near the head."""
    found = bytearray(data)
    for _ in range(draw.randint(1, 30)):
        at = int(len(found) * draw.random() ** draw.choice([1, 4]))
        if at < len(found):
            found[at] = draw.choice([0, 0xFF, draw.randrange(256)])
    return bytes(found)


def spliced(draw: Random, data: bytes) -> bytes:
    """A part twice, or a part of another kind in the middle."""
    at, end = sorted(draw.randint(0, len(data)) for _ in range(2))
    other = data[at:end] if draw.random() < 0.5 else picture(draw, draw.choice(KINDS))
    return data[:at] + other * draw.randint(1, 4) + data[at:]


def lying(draw: Random, data: bytes) -> bytes:
    """The size in the header replaced; the checksum of a PNG put right."""
    width, height = (draw.choice([0, 1, 5_000, 25_000, 65_535, 2**31 - 1, draw.randrange(2**16)]) for _ in range(2))
    found = bytearray(data)
    if data[:4] == b"\x89PNG" and len(data) > 40:
        found[16:24] = struct.pack(">II", width, height)
        found[24:26] = bytes([draw.choice([1, 8, 16]), draw.choice([0, 2, 3, 4, 6])])
        found[29:33] = struct.pack(">I", zlib.crc32(found[12:29]))
    elif data[:2] == b"BM" and len(data) > 40:
        found[18:26] = struct.pack(
            "<ii", draw.choice([width, -width]) % 2**31, draw.choice([height, -height - 1]) % 2**31
        )
    elif data[:2] == b"\xff\xd8":
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            if (at := data.find(marker)) > 0 and at + 9 < len(data):
                found[at + 5 : at + 9] = struct.pack(">HH", height % 65536, width % 65536)
    elif data[8:12] == b"WEBP" and len(data) > 30:
        found[24:30] = struct.pack("<IH", width % 2**32, height % 2**16)
    return bytes(found)


def bomb(draw: Random, _: bytes) -> bytes:
    """A PNG of few bytes and many pixels: some up to what is allowed, most beyond it."""
    width = draw.choice([4_900, 5_000, 5_100, 20_000, 60_000])
    rows = 100 if width > 5_000 else draw.choice([10, width])

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, width, 1, 0, 0, 0, draw.randint(0, 1))
    line = b"\0" * (1 + (width + 7) // 8)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(line * rows)) + chunk(b"IEND", b"")
    )


def scans(draw: Random, _: bytes) -> bytes:
    """A progressive JPEG whose scans are repeated."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (draw.randrange(256), 0, 0)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * draw.choice([5, 50, 500]) + data[-2:]


def foreign(draw: Random, _: bytes) -> bytes:
    """Something else altogether."""
    return draw.choice([*FOREIGN, draw.randbytes(draw.randint(1, 3000))])


WAYS: list[Callable[[Random, bytes], bytes]] = [
    *(truncated, flipped, flipped, spliced, lying, lying, foreign),
    lambda _, data: data,
]
RARE: list[Callable[[Random, bytes], bytes]] = [bomb, scans]


def body_of(draw: Random, files: list[bytes]) -> tuple[bytes, dict[str, str]]:
    """A multipart body with hostile names and fields; sometimes mangled as a whole."""
    parts = []
    for data in files:
        name = draw.choice(NAMES) if draw.random() < 0.5 else "a.jpg"
        kind = draw.choice(["image/jpeg", "image/png", "text/html", "x" * 300, "multipart/mixed; boundary=c"])
        head = f'Content-Disposition: form-data; name="pictures"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        parts.append(head.encode("utf-8", "surrogatepass") + data)
    for field, values in (
        ("boxes", ["", "0,0,9,9", "-1,0,5,5", "1e9,0,1,1", "9" * 300, "0,0,4,4,4"]),
        ("top_k", ["1", "500", "-1", "1e3", "nan"]),
        ("cameras", ["1", "-9", "9" * 40, "one"]),
        ("since", ["0", "-inf", "2026-01-01", "9" * 400, "\0"]),
        ("where", ["site=north", "=", "a" * 150, "identity=1", "site=\0"]),
        ("rerank", ["k_reciprocal", "", "x"]),
    ):
        if draw.random() < 0.12:
            parts.append(f'Content-Disposition: form-data; name="{field}"\r\n\r\n{draw.choice(values)}'.encode())
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    if draw.random() < 0.08:
        body = draw.choice([truncated, flipped, spliced])(draw, body)
    kind = (
        "multipart/form-data; boundary=b"
        if draw.random() < 0.97
        else draw.choice(["text/plain", "multipart/form-data"])
    )
    return body, {"content-type": kind}


def fuzz(client: Any, uploads: int, seed: int, told: Callable[[int], None] = lambda _: None) -> Counter[str]:
    """Send them; the number of answers by path and status. AssertionError where one is not as it must be."""
    draw, counts = Random(seed), Counter[str]()
    for number in range(uploads):
        files = []
        for _ in range(draw.choice([1, 1, 1, 2, 9 if draw.random() < 0.05 else 1])):
            way = draw.choice(RARE if draw.random() < 0.03 else WAYS)
            files.append(way(draw, picture(draw, draw.choice(KINDS))))
        path = "/api/enrol" if draw.random() < 0.1 else "/api/search"
        body, headers = body_of(draw, files)
        answer = client.post(path, content=body, headers=headers)
        about = f"upload {number} of seed {seed}: {answer.status_code} {answer.text[:300]}"
        value = json.loads(answer.content)
        if answer.status_code != 200:
            assert 400 <= answer.status_code < 500, about
            assert set(value) == {"error"}, about
            assert 10 < len(value["error"]) < 400, about
            assert "\n" not in value["error"], about
        assert b"passwd" not in answer.content, about
        counts[f"{path} {answer.status_code}"] += 1
        told(number)
    return counts


WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree"}
NEVER = {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect", "ctypes.dlopen"}


@contextmanager
def watched(allowed: Path) -> Iterator[list[str]]:
    """What Python does to files outside `allowed` meanwhile, and processes and connections that it begins."""
    seen: list[str] = []
    inside, on = str(allowed.resolve()), True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not on or (event != "open" and event not in WRITES and event not in NEVER):
            return
        path = arguments[0] if arguments else ""
        if event == "open":
            mode, flags = str(arguments[1] or ""), int(arguments[2] or 0)
            if not (set(mode) & set("wax+") or flags & 0o103):  # O_WRONLY, O_RDWR, O_CREAT
                return
        if isinstance(path, (str, bytes)) and event not in NEVER:
            name = path.decode(errors="replace") if isinstance(path, bytes) else path
            if name.startswith(inside) or name == "/dev/null":
                return
        elif isinstance(path, int) and event == "open":
            return
        seen.append(f"{event} {path!r}")

    sys.addaudithook(hook)  # one can't be taken out again, so it is switched off
    try:
        yield seen
    finally:
        on = False


def peak_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args()

    from starlette.testclient import TestClient
    from tests.web.made import ADDRESS, Histogram, calibration, table

    from strongreid.gallery import Gallery
    from strongreid.web import PictureFolders, create_app

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with Gallery(root / "gallery", calibration=calibration()) as gallery:
            gallery.add(table(range(1, 9), folder=root / "pictures"), labels={"site": ["north"] * 32})
            folders = PictureFolders([root / "pictures"], keep=root / "kept")
            with TestClient(create_app(gallery, Histogram(), folders=folders), base_url=ADDRESS) as client:
                fuzz(client, 20, parsed.seed + 1)  # imports and caches first
                before, began = peak_mb(), time.perf_counter()

                def told(number: int) -> None:
                    if (number + 1) % 1000 == 0:
                        print(f"{number + 1} uploads, peak {peak_mb():.0f} MB", flush=True)

                with watched(root) as seen:
                    counts = fuzz(client, parsed.uploads, parsed.seed, told)
                took = time.perf_counter() - began
            enrolled = sum(1 for _ in (root / "kept").iterdir())
            assert len(gallery) == 32 + enrolled, "each kept picture has its entry"
    for name, count in sorted(counts.items()):
        print(f"{name}: {count}")
    print(f"{took:.0f} s; memory before {before:.0f} MB, at its peak {peak_mb():.0f} MB; kept pictures {enrolled}")
    print(f"files outside, processes, connections: {len(seen)}")
    print("\n".join(seen[:20]))
    assert not seen


if __name__ == "__main__":
    main()
