"""The service as an ASGI application: routes, middleware and error handlers."""

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

from genrelab.serve import openapi, pages, schemas
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
"""Status, in the access log and in the metrics, of a request whose client disconnected; it is never received."""

MAX_ERRORS = 10
"""Errors of one query that are listed; the others are counted."""

FILE_PROBLEMS = ("not-audio", "unsupported-codec", "damaged", "unusable", "too-long", "took-too-long", "crashed")


def create_app(
    limits: Limits,
    model_store: ModelStore,
    worker_queue: WorkerQueue,
    *,
    token: str | None = None,
    origins: Sequence[str] = (),
    hosts: Sequence[str] | None = (),
    folder: Path,
) -> FastAPI:
    """The service.

    Its `state.draining` is the shutdown state and the number of requests in flight. The worker queue starts and stops
    with the application's lifespan.

    Args:
        token: that clients must send; None: no authentication.
        origins: allowed web origins, such as `https://music.example.com`; the service's own page is always allowed.
        hosts: host names that the Host header may have where there is no token, besides `localhost` and IP addresses;
            None: any.
        folder: the service's own, for uploads.
    """
    origins = [origin.rstrip("/").lower() for origin in origins]  # as browsers send them
    metrics, draining = ServiceMetrics(), Draining()
    uploads = Uploads(limits, folder, draining)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await worker_queue.start()
        try:
            yield
        finally:
            await worker_queue.stop()

    app = FastAPI(
        title="genrelab",
        version=version("genrelab"),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(metrics, draining, token, origins, hosts),
    )
    app.state.draining = draining
    handlers = Handlers(limits, model_store, worker_queue, uploads, metrics, draining)
    _add_routes(app, handlers, secured=token is not None)
    _add_error_handlers(app)
    names = [model.name for model in model_store.models()]
    document = openapi.OpenApiDocument(app, names=names, secured=token is not None)
    app.add_api_route("/openapi.json", document.answer, methods=["GET"], include_in_schema=False)
    app.openapi = document.schema  # type: ignore[method-assign]
    stream_router = route.router(model_store, limits, token, origins)
    app.include_router(stream_router)
    app.include_router(pages.router())
    metrics.watch(StateCollector(worker_queue, model_store, uploads, stream_router, draining, app.version))
    return app


def _middleware(
    metrics: ServiceMetrics, draining: Draining, token: str | None, origins: Sequence[str], hosts: Sequence[str] | None
) -> list[Middleware]:
    """The middleware, outermost first."""
    return [
        Middleware(MetricsMiddleware, metrics=metrics, draining=draining),
        Middleware(OriginMiddleware, origins=origins, hosts=hosts if token is None else None),
        # Outside AuthMiddleware: a CORS preflight carries no token.
        *([Middleware(ProblemCorsMiddleware, origins=origins)] if origins else []),
        Middleware(ErrorMiddleware, draining=draining),
        Middleware(AuthMiddleware, token=token, draining=draining),
    ]


def _add_routes(app: FastAPI, handlers: Handlers, *, secured: bool) -> None:
    auth_kinds = ("stopping", "unauthorized") if secured else ("stopping",)

    def add(path: str, endpoint: Any, summary: str, model: Any, *kinds: str, **settings: Any) -> None:
        kinds += ("foreign-origin", "internal", *(() if path in HEALTH_PATHS else auth_kinds))
        responses = {200: {"model": model, "description": summary}, **openapi.problem_responses(*kinds)}
        settings = {"methods": ["GET"], "tags": ["service"], "operation_id": endpoint.__name__, **settings}
        app.add_api_route(path, endpoint, summary=summary, responses=responses, **settings)

    predict_kinds = ("unknown-model", "bad-parameter", "bad-request", "too-slow", "too-large", "busy", "not-ready")
    predict_options: dict[str, Any] = {"methods": ["POST"], "dependencies": [Depends(_no_repeats)], "tags": ["hearing"]}
    one, batch = openapi.request_body(), openapi.request_body(batch=handlers.limits.batch_files)
    answers = list[schemas.Heard | schemas.Refused]
    add(
        "/v1/predict",
        handlers.predict,
        "The genre",
        schemas.Heard,
        *predict_kinds,
        *FILE_PROBLEMS,
        openapi_extra=one,
        **predict_options,
    )
    add(
        "/v1/predict/batch",
        handlers.batch,
        "The genres",
        answers,
        *predict_kinds,
        openapi_extra=batch,
        **predict_options,
    )

    model_options: dict[str, Any] = {"dependencies": [Depends(_no_query)], "tags": ["models"]}
    add("/v1/models", handlers.models, "The models", schemas.Models, "bad-parameter", **model_options)
    kinds = ("unknown-model", "bad-parameter")
    add("/v1/models/{name}", handlers.model, "A model and its card", schemas.AboutWithCard, *kinds, **model_options)
    add("/v1/health", handlers.health, "It runs", schemas.Health)
    add("/v1/ready", handlers.ready, "It hears", schemas.Ready, "not-ready")
    add("/metrics", handlers.metrics, "Figures", None, response_class=PlainTextResponse)


async def _no_query(request: Request) -> None:
    """Rejects query parameters, so that a mistyped one is not silently ignored."""
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
    async def disconnected(_: Request, e: ClientDisconnected) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, e: RequestValidationError) -> Response:
        return problem_response(_parameter_problem(e))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, e: HTTPException) -> Response:
        return problem_response(_framework_problem(request, e))


def _parameter_problem(error: RequestValidationError) -> Problem:
    """Which parameters are invalid, and why; the first `MAX_ERRORS` only, as a client may send thousands."""
    errors = error.errors()
    reasons = list(dict.fromkeys(_describe_error(e) for e in errors[:MAX_ERRORS]))
    if len(errors) > MAX_ERRORS:
        reasons.append(f"and {len(errors) - MAX_ERRORS:,} more")
    return Problem("bad-parameter", "; ".join(reasons))


def _describe_error(error: Mapping[str, Any]) -> str:
    name = str(error["loc"][1]) if len(error["loc"]) > 1 else "the request"
    if error["type"] == "extra_forbidden":
        return f"there is no parameter {quoted(name)}"
    reason = error["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    return f"{quoted(name)} must {reason.removeprefix('must ')}. Received: {quoted(str(error['input']))}"


def _framework_problem(request: Request, error: HTTPException) -> Problem:
    """Refusals by Starlette and FastAPI, and unknown paths, as problems."""
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
