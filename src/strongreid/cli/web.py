"""The verb serve: a page to search a gallery with."""

from __future__ import annotations

import logging
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongreid.cli.parser import Parser, model_arguments, parse
from strongreid.errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from strongreid.web import Access

TOKEN = "STRONGREID_TOKEN"
"""The variable that may hold the token, where a command line is read by others."""


def serve(arguments: list[str]) -> int:
    """Serve the page until interrupted."""
    parser = Parser(prog="strongreid serve", allow_abbrev=False, description="A page to search a gallery with.")
    parser.add_argument("gallery", help="folder, or http://HOST:6333/NAME; made with the first entry")
    parser.add_argument("--model", required=True, help="model folder, the gallery's")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; other than loopback takes a token")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--token", help=f"{TOKEN} holds it too; default: none on loopback, else one is made")
    parser.add_argument("--names", nargs="+", default=[], help="further host names by which the page is reached")
    parser.add_argument(
        "--pictures", nargs="+", default=[], help="folders whose pictures may be shown; default: none"
    )
    parser.add_argument(
        "--keep", help="folder for pictures that are enrolled on the page; default: they are not kept"
    )
    model_arguments(parser, one=False)
    parsed = parse(parser, arguments)

    import uvicorn  # first: what is missing is said before a model is loaded

    from strongreid.evaluation.calibration import FILE
    from strongreid.gallery import Gallery
    from strongreid.web import Access, Limits, PictureFolders, create_app

    access = Access.of(parsed.host, parsed.token or os.environ.get(TOKEN) or None, parsed.names)
    folders = PictureFolders(parsed.pictures, keep=parsed.keep)
    with _listen(parsed.host, parsed.port) as listening:
        calibrated = (Path(parsed.model) / FILE).is_file()
        with Gallery(parsed.gallery, calibration=parsed.model if calibrated else None) as gallery:
            from strongreid.extraction import Extractor

            extract = Extractor(
                parsed.model, device=parsed.device, feature=parsed.feature, batch=parsed.batch, flip=parsed.flip
            )
            app = create_app(gallery, extract, access=access, folders=folders, limits=Limits())
            print(_opened(parsed.host, listening, access, len(gallery), bool(folders.folders)), flush=True)
            _run(uvicorn, app, listening)
    print("stopped")
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InputError: the address is not of this machine, or the port is taken or not allowed.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"cannot listen on port {port}: a port is from 1 to 65535, or 0 for any that is free.")
    try:
        family = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        raise InputError(
            f"cannot listen on port {port} of {host}: {error.strerror or error}; choose others with --port "
            "(0: any free) or --host."
        ) from error


def _opened(host: str, listening: socket.socket, access: Access, entries: int, pictures: bool) -> str:
    """What is printed once the page can be opened."""
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    if shown in ("0.0.0.0", "[::]"):
        shown = socket.gethostname()
    lines = [f"open http://{shown}:{listening.getsockname()[1]} ({entries:,} entries; Ctrl-C ends it)"]
    if access.token is not None:
        lines.append(f"token: {access.token}")
    if not pictures:
        lines.append("no pictures are shown: name their folders with --pictures")
    return "\n".join(lines)


def _run(uvicorn: Any, app: FastAPI, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it tells of every byte that is out of place
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, limit_concurrency=64)
    before = signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # uvicorn raises it again at its end
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
