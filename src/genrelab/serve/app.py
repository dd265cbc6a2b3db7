"""The service as an ASGI application: its addresses, what every request passes, what becomes of errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from genrelab.serve import pages, schemas
from genrelab.serve.handlers import Handlers
from genrelab.serve.http.body import ClientDisconnected
from genrelab.serve.http.middleware import HEALTH_PATHS, AuthMiddleware, ErrorMiddleware, MetricsMiddleware
from genrelab.serve.http.origins import OriginMiddleware, ProblemCorsMiddleware
from genrelab.serve.http.uploads import Uploads
from genrelab.serve.limits import Limits
from genrelab.serve.metrics import ServiceMetrics, StateCollector
from genrelab.serve.model_store import ModelStore
from genrelab.serve.problems import Problem, problem_response, quoted
from genrelab.serve.shutdown import Draining
from genrelab.serve.stream import route
from genrelab.serve.workers.queue import WorkerQueue

CLIENT_CLOSED_REQUEST = 499
"""The status in the log and the figures of a request whose client went away; nobody receives it."""

MAX_ERRORS = 10
"""Of a query that are told."""

FILE_PROBLEMS = ("not-audio", "unsupported-codec", "damaged", "unusable", "too-long", "took-too-long", "crashed")


def create_app(
    limits: Limits,
    shelf: ModelStore,
    ears: WorkerQueue,
    *,
    token: str | None = None,
    origins: Sequence[str] = (),
    hosts: Sequence[str] | None = (),
    folder: Path,
) -> FastAPI:
    """The service.

    Its `state.draining` is what says that it is stopping, and how many requests are under way. Ears begin and end with
    its lifespan.

    Args:
        token: that clients must know; None: anybody may ask.
        origins: web sites that may ask, such as `https://music.example.com`; our own page always may.
        hosts: names by which the service may be asked where it has no token, besides `localhost` and addresses;
            None: any.
        folder: ours, for what is sent.
    """
    origins = [origin.rstrip("/").lower() for origin in origins]  # as browsers say them
    gauges, draining = ServiceMetrics(), Draining()
    uploads = Uploads(limits, folder, draining)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await ears.start()
        try:
            yield
        finally:
            await ears.stop()

    app = FastAPI(
        title="genrelab",
        version=version("genrelab"),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(gauges, draining, token, origins, hosts),
    )
    app.state.draining = draining
    desk = Handlers(limits, shelf, ears, uploads, gauges, draining)
    _add_routes(app, desk, secured=token is not None)
    _add_error_handlers(app)
    names = [model.name for model in shelf.models()]
    described = schemas.OpenApiDocument(app, names=names, secured=token is not None)
    app.add_api_route("/openapi.json", described.answer, methods=["GET"], include_in_schema=False)
    app.openapi = described.schema  # type: ignore[method-assign]
    streams = route.router(shelf, limits, token, origins)
    app.include_router(streams)
    app.include_router(pages.router())
    gauges.watch(StateCollector(ears, shelf, uploads, streams, draining, app.version))
    return app


def _middleware(
    gauges: ServiceMetrics, draining: Draining, token: str | None, origins: Sequence[str], hosts: Sequence[str] | None
) -> list[Middleware]:
    """What a request passes, the outermost first."""
    return [
        Middleware(MetricsMiddleware, gauges=gauges, draining=draining),
        Middleware(OriginMiddleware, origins=origins, hosts=hosts if token is None else None),
        # Before the door: browsers ask whether they may send the token without sending it.
        *([Middleware(ProblemCorsMiddleware, origins=origins)] if origins else []),
        Middleware(ErrorMiddleware, draining=draining),
        Middleware(AuthMiddleware, token=token, draining=draining),
    ]


def _add_routes(app: FastAPI, desk: Handlers, *, secured: bool) -> None:
    closed = ("stopping", "unauthorized") if secured else ("stopping",)

    def add(path: str, endpoint: Any, summary: str, model: Any, *kinds: str, **settings: Any) -> None:
        kinds += ("foreign-origin", "internal", *(() if path in HEALTH_PATHS else closed))
        about = {200: {"model": model, "description": summary}, **schemas.problem_responses(*kinds)}
        settings = {"methods": ["GET"], "tags": ["service"], "operation_id": endpoint.__name__, **settings}
        app.add_api_route(path, endpoint, summary=summary, responses=about, **settings)

    hears = ("unknown-model", "bad-parameter", "bad-request", "too-slow", "too-large", "busy", "not-ready")
    once: dict[str, Any] = {"methods": ["POST"], "dependencies": [Depends(_no_repeats)], "tags": ["hearing"]}
    one, batch = schemas.request_body(), schemas.request_body(batch=desk.limits.batch_files)
    answers = list[schemas.PredictionOut | schemas.RefusedOut]
    add(
        "/v1/predict",
        desk.predict,
        "The genre",
        schemas.PredictionOut,
        *hears,
        *FILE_PROBLEMS,
        openapi_extra=one,
        **once,
    )
    add("/v1/predict/batch", desk.batch, "The genres", answers, *hears, openapi_extra=batch, **once)

    plain: dict[str, Any] = {"dependencies": [Depends(_no_query)], "tags": ["models"]}
    add("/v1/models", desk.models, "The models", schemas.Models, "bad-parameter", **plain)
    kinds = ("unknown-model", "bad-parameter")
    add("/v1/models/{name}", desk.model, "A model and its card", schemas.ModelWithCardOut, *kinds, **plain)
    add("/v1/health", desk.health, "It runs", schemas.Health)
    add("/v1/ready", desk.ready, "It hears", schemas.Ready, "not-ready")
    add("/metrics", desk.metrics, "Figures", None, response_class=PlainTextResponse)


async def _no_query(request: Request) -> None:
    """A mistyped name must not be passed over in silence."""
    for name in request.query_params:
        raise Problem("bad-parameter", f"There is no parameter {quoted(name)} here: this address takes none.")


async def _no_repeats(request: Request) -> None:
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise Problem("bad-parameter", f"The parameter {quoted(name)} stands there twice: which one counts?")
        seen.add(name)


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(_: Request, e: Problem) -> Response:
        return problem_response(e)

    @app.exception_handler(ClientDisconnected)
    async def gone(_: Request, e: ClientDisconnected) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, e: RequestValidationError) -> Response:
        return problem_response(_parameter_problem(e))

    @app.exception_handler(HTTPException)
    async def other(request: Request, e: HTTPException) -> Response:
        return problem_response(_framework_problem(request, e))


def _parameter_problem(error: RequestValidationError) -> Problem:
    """What is wrong with which parameter; not of all, where somebody sends thousands."""
    faults = error.errors()
    said = list(dict.fromkeys(_describe_error(fault) for fault in faults[:MAX_ERRORS]))
    if len(faults) > MAX_ERRORS:
        said.append(f"and {len(faults) - MAX_ERRORS:,} more")
    return Problem("bad-parameter", "; ".join(said))


def _describe_error(fault: Mapping[str, Any]) -> str:
    name = str(fault["loc"][1]) if len(fault["loc"]) > 1 else "the request"
    if fault["type"] == "extra_forbidden":
        return f"there is no parameter {quoted(name)}"
    reason = fault["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    return f"{quoted(name)} must {reason.removeprefix('must ')}. Received: {quoted(str(fault['input']))}"


def _framework_problem(request: Request, error: HTTPException) -> Problem:
    """What Starlette and FastAPI refuse by themselves, and pages that are not there."""
    method = quoted(request.method)
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        allow = f"{allow}, HEAD" if "GET" in allow and "HEAD" not in allow else allow
        return Problem("method-not-allowed", f"{method} is not for this address: {allow} is.", headers={"Allow": allow})
    if error.status_code == 404:
        return Problem("not-found", "Nothing has this address. /docs tells what there is.")
    if 400 <= error.status_code < 500:
        return Problem("bad-request", f"The request cannot be understood: {error.detail}.", headers=error.headers)
    raise error
