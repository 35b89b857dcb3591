"""The page and its API as a FastAPI application."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import FastAPI, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, APIRouter
from starlette.datastructures import FormData
from starlette.datastructures import UploadFile as AnyUploadFile
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

import strongreid
from strongreid.errors import InputError
from strongreid.gallery import Gallery
from strongreid.web import answers
from strongreid.web.access import COOKIE, Access, same
from strongreid.web.forms import EnrolForm, EntriesQuery, Id, RemoveForm, SearchForm, Token
from strongreid.web.guard import Guard
from strongreid.web.limits import Limits, RefusedError
from strongreid.web.service import Extract, Service
from strongreid.web.shown import PictureFolders

_Answer = TypeVar("_Answer")
_PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Can't be done as asked"},
    401: {"description": "The token is missing or wrong"},
    403: {"description": "Asked by another site's page"},
    404: {"description": "No such entry, picture or result"},
    408: {"description": "The request took too long to arrive"},
    409: {"description": "There is no gallery yet"},
    413: {"description": "Too large"},
    415: {"description": "Not a format that is read"},
    421: {"description": "Not a name of this server"},
    422: {"description": "An argument is not allowed, or a picture is damaged"},
    503: {"description": "Busy"},
}


def create_app(
    gallery: Gallery,
    extract: Extract,
    *,
    access: Access | None = None,
    folders: PictureFolders | None = None,
    limits: Limits | None = None,
) -> FastAPI:
    """The application.

    Args:
        gallery: open; closing it is the caller's.
        extract: what makes features of pictures, with the gallery's model.
        access: names and token; the default is for a server that only this machine reaches.
        folders: which pictures may be shown and where uploads are kept; the default is none.
        limits: of requests.

    Raises:
        InputError: the gallery holds features of another model.
    """
    limits = limits or Limits()
    access = access or Access()
    service = Service(gallery, extract, folders or PictureFolders(limits=limits), limits)
    app = FastAPI(
        title="strongreid",
        version=strongreid.__version__,
        summary="Search a gallery of people, say unknown, enrol and remove.",
        docs_url=None,  # those pages load scripts from another host
        redoc_url=None,
    )
    app.add_middleware(Guard, access=access, limits=limits)
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(AnyHTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    app.include_router(_api(service, limits))
    app.include_router(_login(access))
    _add_page(app)
    return app


def _api(service: Service, limits: Limits) -> APIRouter:
    refusals = {status: about | {"model": answers.Error} for status, about in _REFUSALS.items()}
    api = APIRouter(prefix="/api", route_class=_upload_route(limits), responses=refusals)
    decoding = anyio.CapacityLimiter(limits.decoding)

    async def with_pictures(work: Callable[[Any, list[bytes]], _Answer], form: SearchForm | EnrolForm) -> _Answer:
        files = [await file.read() for file in form.pictures]
        return await anyio.to_thread.run_sync(work, form, files, limiter=decoding)

    @api.get("/info")
    def info() -> answers.Info:
        """Counts, cameras, labels, calibration, and what a request may take."""
        return service.info()

    @api.get("/entries")
    def entries(query: Annotated[EntriesQuery, Query()]) -> answers.Page:
        """Entries that pass the filters, by id, page by page."""
        return service.entries(query)

    @api.get("/entries/{number}")
    def entry(number: Id) -> answers.Entry:
        """One entry."""
        return service.entry(number)

    @api.get(
        "/entries/{number}/picture",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}},
    )
    def picture(number: Id, size: Annotated[int, Query(ge=32, le=1024)] = 256) -> Response:
        """An entry's picture, at most `size` pixels each way, encoded anew without metadata."""
        return Response(service.picture(number, size), media_type="image/jpeg")

    @api.post("/search")
    async def search(form: Annotated[SearchForm, Form(media_type="multipart/form-data")]) -> answers.Found:
        """The nearest entries, with a probability each and "unknown" beyond the threshold."""
        return await with_pictures(service.search, form)

    @api.get(
        "/results/{result}.csv",
        response_class=Response,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    def results(result: str) -> Response:
        """One of the latest results as CSV."""
        disposition = {"content-disposition": 'attachment; filename="strongreid.csv"'}
        return Response(service.csv(result), media_type="text/csv", headers=disposition)

    @api.post("/enrol")
    async def enrol(form: Annotated[EnrolForm, Form(media_type="multipart/form-data")]) -> answers.Enrolled:
        """Enrol each picture as an entry; all or none."""
        return await with_pictures(service.enrol, form)

    @api.post("/remove")
    def remove(form: RemoveForm) -> answers.Removed:
        """Remove entries by ids, identity or time; `compact` clears them from the disk."""
        return service.remove(form)

    @api.post("/compact")
    def compact() -> answers.Compacted:
        """Clear what was removed from the disk; takes time in proportion to the gallery."""
        return service.compact()

    return api


def _login(access: Access) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.post(
        "/login",
        status_code=204,
        responses={
            status: _REFUSALS[status] | {"model": answers.Error} for status in (401, 403, 408, 413, 421, 422, 503)
        },
    )
    def login(form: Token, request: Request) -> Response:
        """Set a cookie that stands for the token, until the server ends."""
        if access.token is not None and not same(form.token.strip(), access.token):
            raise RefusedError("this is not the token that was printed where the server was started.", 401)
        answer = Response(status_code=204)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, access.session, httponly=True, samesite="strict", secure=secure)
        return answer

    return router


def _add_page(app: FastAPI) -> None:
    """The page's three files and its icon, from memory."""
    files = {path.name: path.read_bytes() for path in _PAGE.iterdir() if path.suffix in _TYPES}

    def give(name: str, request: Request) -> Response:
        if name not in files:
            raise RefusedError("there is no such file.", 404)
        tag = f'"{sha256(files[name]).hexdigest()[:20]}"'
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(files[name], media_type=_TYPES[Path(name).suffix], headers=headers)

    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        return give("index.html", request)

    @app.get("/page/{name}", include_in_schema=False)
    def asset(name: str, request: Request) -> Response:
        return give(name, request)


class _InMemory(MultiPartParser):
    """Keeps pictures off the disk; the size of a request is limited by the guard."""

    spool_max_size = 1 << 30

    async def parse(self) -> FormData:
        """The form.

        Raises:
            MultiPartException: it is not well formed, or ends within a file.
        """
        form = await super().parse()
        whole = {id(value.file) for _, value in form.multi_items() if isinstance(value, AnyUploadFile)}
        cut = [file for file in self._files_to_close_on_error if id(file) not in whole]
        if cut:
            for file in self._files_to_close_on_error:
                file.close()
            raise MultiPartException("The form ends within a file.")
        return form


def _upload_route(limits: Limits) -> type[APIRoute]:
    """Reads forms within limits before anything else does."""

    class UploadRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler, wanted = super().get_route_handler(), self.body_field

            async def limited(request: Request) -> Response:
                is_form = wanted is not None and "Form" in type(wanted.field_info).__name__
                if is_form:
                    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
                        raise RefusedError("send this as multipart/form-data.", 415)
                    request._form = await _read_form(request, limits)  # what later calls of form() give
                return await handler(request)

            return limited

    return UploadRoute


async def _read_form(request: Request, limits: Limits) -> Any:
    parser = _InMemory(
        request.headers,
        request.stream(),
        max_files=limits.pictures,
        max_fields=limits.fields,
        max_part_size=limits.field_bytes,
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise RefusedError(f"one request takes at most {limits.pictures} pictures.", 413) from error
        if error.message.startswith(("Too many fields", "Part exceeded", "Field exceeded")):
            raise RefusedError("the form has too many fields, or one of them is too long.", 413) from error
        raise RefusedError("the form is no well-formed multipart/form-data.", 400) from error
    except (ValueError, KeyError, LookupError) as error:  # the parser on headers that are none
        raise RefusedError("the form is no well-formed multipart/form-data.", 400) from error


def _answer(status: int, sentence: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": sentence}, status, headers=headers)


async def _refused(_: Request, error: Exception) -> Response:
    return _answer(error.status if isinstance(error, RefusedError) else 400, str(error))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    words = {404: "there is nothing at this address.", 405: "this address does not take that method."}
    headers = dict(error.headers or {})
    return _answer(error.status_code, words.get(error.status_code, str(error.detail)), headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(422, _sentence(error.errors()))


async def _failed(_: Request, error: Exception) -> Response:  # noqa: ARG001
    return _answer(500, "something went wrong in the server; the window it was started in says what.")


def _sentence(errors: Sequence[Any]) -> str:
    """What is wrong with the first argument that is."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    where = re.sub(r"[^\w.\-]", "", where)[:60]
    said = str(first["msg"])[:1].lower() + str(first["msg"])[1:]
    return f"{where or 'the request'}: {said}."
