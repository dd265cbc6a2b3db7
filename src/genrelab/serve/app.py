"""The service as an ASGI application: routes, middleware and error handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from genrelab.serve import openapi, pages, schemas
from genrelab.serve.handlers import Handlers
from genrelab.serve.http.body import ClientDisconnected
from genrelab.serve.http.middleware import HEALTH_PATHS, AuthMiddleware, ErrorMiddleware, MetricsMiddleware
from genrelab.serve.http.origins import OriginMiddleware
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

CORS: dict[str, Any] = {
    "allow_methods": ("GET", "POST"), "allow_headers": ("Authorization", "Content-Type"),
    "expose_headers": ("Retry-After",),
}  # fmt: skip
"""What pages of allowed origins may send and read."""

MAX_ERRORS = 10
"""Errors of one query that are listed; the others are counted."""

FILE_PROBLEMS = (
    "not-audio", "unsupported-codec", "damaged", "unusable", "too-long", "took-too-long", "crashed", "model-not-loaded",
)  # fmt: skip


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

    Its `state.draining` is the shutdown state and the number of requests in flight. The caller starts and stops the
    worker queue.

    Args:
        token: that clients must send; None: no authentication.
        origins: allowed web origins, such as `https://music.example.com`; the service's own page is always allowed.
        hosts: host names that the Host header may have where there is no token, besides `localhost` and IP addresses;
            None: any.
        folder: the service's own, for uploads.
    """
    origins = [origin.rstrip("/").lower() for origin in origins]  # as browsers send them
    metrics, draining = ServiceMetrics(), Draining()
    uploads = Uploads(limits, folder)

    app = FastAPI(
        title="genrelab",
        version=version("genrelab"),
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
    app.openapi = cache(lambda: openapi.build_document(app, names, secured=token is not None))  # type: ignore[method-assign]
    stream_router = route.StreamRouter(model_store, limits, token, origins)
    app.include_router(stream_router)
    app.include_router(pages.router())
    state = StateCollector(worker_queue, model_store, uploads, stream_router, draining, app.version)
    metrics.registry.register(state)
    return app


def _middleware(
    metrics: ServiceMetrics, draining: Draining, token: str | None, origins: Sequence[str], hosts: Sequence[str] | None
) -> list[Middleware]:
    """The middleware, outermost first."""
    return [
        Middleware(MetricsMiddleware, metrics=metrics, draining=draining),
        Middleware(OriginMiddleware, origins=origins, hosts=hosts if token is None else None),
        # Outside AuthMiddleware: a CORS preflight carries no token.
        *([Middleware(CORSMiddleware, **CORS, allow_origins=origins)] if origins else []),
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
    predict: dict[str, Any] = {"methods": ["POST"], "dependencies": [Depends(_no_repeats)], "tags": ["predictions"]}
    one, many = openapi.request_body(), openapi.request_body(batch=handlers.limits.batch_files)
    results = list[schemas.PredictionResult | schemas.FileError]
    add(
        "/v1/predict", handlers.predict, "Classify one file: returns its genre, confidence and probabilities",
        schemas.PredictionResult, *predict_kinds, *FILE_PROBLEMS, openapi_extra=one, **predict,
    )  # fmt: skip
    add(
        "/v1/predict/batch", handlers.batch, "Classify several files: returns a list of results", results,
        *predict_kinds, openapi_extra=many, **predict,
    )  # fmt: skip
    model: dict[str, Any] = {"dependencies": [Depends(_no_query)], "tags": ["models"]}
    add(
        "/v1/models", handlers.models, "List the served models and the limits on uploads", schemas.ModelList,
        "bad-parameter", **model,
    )  # fmt: skip
    add(
        "/v1/models/{name}", handlers.model, "Return one model with its model card", schemas.ModelDetails,
        "unknown-model", "bad-parameter", **model,
    )  # fmt: skip
    add("/v1/health", handlers.health, "Check that the service runs", schemas.HealthStatus)
    add("/v1/ready", handlers.ready, "Check that files can be classified now", schemas.ReadyStatus, "not-ready")
    add("/metrics", handlers.metrics, "Return metrics for Prometheus", None, response_class=PlainTextResponse)


async def _no_query(request: Request) -> None:
    """Rejects query parameters, so that a mistyped one is not silently ignored."""
    for name in request.query_params:
        raise Problem("bad-parameter", f"There is no parameter {quoted(name)}: this address has no parameters.")


async def _no_repeats(request: Request) -> None:
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise Problem("bad-parameter", f"The parameter {quoted(name)} is given twice. Give it once.")
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
    """Which parameters are invalid, and what to send instead; the first `MAX_ERRORS` only: there may be thousands."""
    errors = error.errors()
    reasons = list(dict.fromkeys(_describe_error(e) for e in errors[:MAX_ERRORS]))
    more = f" And {len(errors) - MAX_ERRORS:,} more." if len(errors) > MAX_ERRORS else ""
    return Problem("bad-parameter", " ".join(reasons) + more)


def _describe_error(error: Mapping[str, Any]) -> str:
    """One sentence, without the validator's own words."""
    name, received = str((*error["loc"], "")[1]), quoted(str(error["input"]))
    if name not in schemas.EXPECTED:
        return f"There is no parameter {quoted(name)}. Parameters: {', '.join(schemas.EXPECTED)}."
    return f"{name}: give {schemas.EXPECTED[name]}; received {received}."


def _framework_problem(request: Request, error: HTTPException) -> Problem:
    """Refusals by Starlette and FastAPI, and unknown paths, as problems."""
    method = quoted(request.method)
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        allow = f"{allow}, HEAD" if "GET" in allow and "HEAD" not in allow else allow
        return Problem(
            "method-not-allowed", f"{method} is not allowed at this address. Use {allow}.", headers={"Allow": allow}
        )
    if error.status_code == 404:
        return Problem("not-found", "See /docs for all addresses.")
    if 400 <= error.status_code < 500:
        return Problem("bad-request", "The request is not valid. See /docs for how to call this address.")
    raise error
