"""The addresses of the page: a photo comes in by POST, and the page polls its state until it is done."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edgefool.datasets import demo_photo
from edgefool.errors import UsageError
from edgefool.images import encode_png
from edgefool.protection.findings import VERSIONS
from edgefool.report.html import base_style
from edgefool.web.engine import Engine
from edgefool.web.guard import Guard
from edgefool.web.job import Job
from edgefool.web.jobs import FAULT, Jobs

MAX_BYTES = 200 * 10**6
"""Of a photo's file."""

EXAMPLE = "cat"
"""The photo for those who have none at hand; of `edgefool.datasets.DEMO_PHOTOS`."""

_GONE = "This photo has been deleted."
_NOT_YET = "This is not ready yet."
_MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff"}


def make_app(engine: Engine, jobs: Jobs) -> ASGIApp:
    """Return the page as an ASGI application.

    ========================================  =========================================================================
    ``GET /``                                 the page
    ``POST /photos?name=&strength=&attack=``  takes the bytes of a photo; 202 and its ``id``. ``attack`` may be repeated
    ``GET /photos/ID``                        how far it is, as JSON: the fields of `edgefool.web.job.Status`, and
                                              ``ahead``, the number of photos before it
    ``GET /photos/ID/original.jpg``           small pictures; also ``result.jpg`` and ``steps/K.jpg``
    ``GET /photos/ID/download``               the changed photo's file
    ``DELETE /photos/ID``                     cancels the work and deletes all of it
    ========================================  =========================================================================

    Errors are JSON, too: ``error`` is a sentence.

    Parameters
    ----------
    engine
        For the options that the page offers.
    jobs
        Which work with this engine.
    """
    site = _Site(engine, jobs)
    routes = [
        _fixed("/", _render_page(engine), "text/html"),
        _fixed("/page.css", base_style() + _template("page.css"), "text/css"),
        _fixed("/page.js", _template("page.js"), "text/javascript"),
        _fixed("/icon.svg", _template("icon.svg"), "image/svg+xml"),
        _fixed("/example.png", encode_png(demo_photo(EXAMPLE)), "image/png"),
        Route("/photos", site.receive, methods=["POST"]),
        Route("/photos/{id}", site.status, methods=["GET"]),
        Route("/photos/{id}", site.delete, methods=["DELETE"]),
        Route("/photos/{id}/original.jpg", site.picture),
        Route("/photos/{id}/steps/{step:int}.jpg", site.picture),
        Route("/photos/{id}/result.jpg", site.picture),
        Route("/photos/{id}/download", site.download),
    ]
    handlers: Mapping[Any, Any] = {HTTPException: _explain, Exception: _apologise}
    return Guard(Starlette(routes=routes, exception_handlers=handlers))


def _fixed(path: str, content: str | bytes, media_type: str) -> Route:
    """Return the route of a file that is always the same."""
    return Route(path, lambda request: Response(content, media_type=media_type))


def _render_page(engine: Engine) -> str:
    templates = Environment(loader=PackageLoader("edgefool.web"), autoescape=True, undefined=StrictUndefined)
    return templates.get_template("page.html").render(
        classifiers={name: name in engine.attacked for name in engine.classifiers},
        versions=json.dumps(VERSIONS),
        max_bytes=MAX_BYTES,
        example=EXAMPLE,
        version=version("edgefool"),
    )


class _Site:
    """The answers to requests about photos."""

    def __init__(self, engine: Engine, jobs: Jobs):
        self._engine, self._jobs = engine, jobs

    async def receive(self, request: Request) -> Response:
        query = request.query_params
        try:
            options = self._engine.options(query.get("strength", "natural"), query.getlist("attack"))
        except UsageError as error:
            raise HTTPException(400, f"{error}.") from error
        job = self._jobs.make(query.get("name", ""), options)
        try:
            await _write(request, job)
        except BaseException as error:
            job.cancel()
            if isinstance(error, ClientDisconnect):
                return Response(status_code=400)  # which nobody reads
            raise
        self._jobs.submit(job)
        return JSONResponse({"id": job.id}, 202)

    def status(self, request: Request) -> Response:
        job = self._find(request)
        return JSONResponse({"name": job.name, "ahead": self._jobs.ahead(job), **vars(job.status)})

    def picture(self, request: Request) -> Response:
        return _send(self._find(request).picture(PurePosixPath(request.url.path).stem), "image/jpeg")

    def download(self, request: Request) -> Response:
        job = self._find(request)
        if not (facts := job.status.result):
            raise HTTPException(404, _NOT_YET)
        return _send(job.result, _MEDIA_TYPES[facts["format"]], facts["name"])

    def delete(self, request: Request) -> Response:
        self._jobs.remove(self._find(request).id)
        return Response(status_code=204)

    def _find(self, request: Request) -> Job:
        if job := self._jobs.get(request.path_params["id"]):
            return job
        raise HTTPException(404, _GONE)


async def _write(request: Request, job: Job) -> None:
    """Write the body of a request to the job's file as it comes in."""
    size = 0
    with job.source.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BYTES:
                raise HTTPException(413, f"The file is larger than {MAX_BYTES // 10**6} MB.")
            file.write(chunk)
    if not size:
        raise HTTPException(400, "The file is empty.")


def _send(path: Path, media_type: str, name: str | None = None) -> Response:
    if not path.is_file():
        raise HTTPException(404, _NOT_YET)
    return FileResponse(path, media_type=media_type, filename=name)


def _template(name: str) -> str:
    return files("edgefool.web").joinpath("templates", name).read_text(encoding="utf-8")


def _explain(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _apologise(request: Request, error: Exception) -> Response:
    """Answer for an error that nobody foresaw, which the server then logs."""
    return JSONResponse({"error": FAULT}, 500)
