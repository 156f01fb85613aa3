"""create_app(settings): the only place where the API is wired together."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
from litestar import Litestar, MediaType, Router, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Server
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp
from psycopg_pool import PoolTimeout

from kotobamichi import __version__, health
from kotobamichi.accounts import routes as accounts_routes
from kotobamichi.accounts.cookies import Cookies
from kotobamichi.accounts.hashing import Hashing
from kotobamichi.accounts.identity import ACCESS_COOKIE, Identities
from kotobamichi.accounts.service import Accounts
from kotobamichi.accounts.sessions import Sessions
from kotobamichi.clients import Clients
from kotobamichi.conventions import Conventions, Limiter, Records
from kotobamichi.db import Database
from kotobamichi.errors import ApiError
from kotobamichi.freshness import Answers, Freshness
from kotobamichi.health import SchemaGate
from kotobamichi.http import (
    BUSY,
    answer_api_error,
    answer_database_away,
    answer_database_busy,
    answer_http_exception,
    answer_unexpected,
)
from kotobamichi.limits import RedisStore, SharedStore, Store
from kotobamichi.logs import RequestLog, get_log
from kotobamichi.mail.outbox import Outbox
from kotobamichi.mail.sender import make_sender
from kotobamichi.mail.worker import Worker, end_softly, work_when_ready
from kotobamichi.metrics import Numbers, Reader
from kotobamichi.monitor import Monitor, show_metrics
from kotobamichi.origins import Origins
from kotobamichi.quizzes import routes as quizzes
from kotobamichi.quizzes.known import new_shelf
from kotobamichi.reviews import routes as reviews
from kotobamichi.routing import Routes
from kotobamichi.settings import Settings
from kotobamichi.shared import Shared, attach
from kotobamichi.shortcut import Shortcut
from kotobamichi.users import routes as users
from kotobamichi.words import routes as words
from kotobamichi.words.importing import Imports
from kotobamichi.words.imports import load_vocabulary
from kotobamichi.words.reading import WordReader
from kotobamichi.words.vocabulary import ATTRIBUTION
from michi.errors import DatabaseUnreachable, MichiError
from michi.folder import read_folder

log = get_log("kotobamichi")

PREFIX = "/v1"
DOCS = "/docs"
ASSETS = f"{DOCS}/assets"


@get("/", media_type=MediaType.TEXT, summary="Greet", tags=["Start"])
async def greet() -> str:
    return f"KotobaMichi {__version__}: the way of words. Documentation: {PREFIX}{DOCS}\n{ATTRIBUTION}\n"


def create_app(settings: Settings) -> ASGIApp:
    """The ASGI app. Answers its health probes at once, everything else as soon as the database has the schema it needs."""
    folder = read_folder(settings.migrations)
    database = Database(settings.target, settings.pool_size, f"kotobamichi/{folder.head or 'none'}")
    shared = attach(settings.shared_memory)
    gate = SchemaGate(database, folder, shared)
    store = _limit_store(settings, shared)
    freshness = Freshness(database)
    answers = Answers(freshness)
    quiz_shelf = new_shelf(freshness)
    word_reader = WordReader(database, freshness, answers)
    imports = Imports(settings.target, settings.import_folder)
    # A secret of this process alone: what `serve` and `up` set is shared by all workers.
    secret = settings.tokens.secret or secrets.token_urlsafe(48)
    sessions = Sessions(secret, settings.tokens.access_seconds, settings.tokens.refresh_seconds)
    accounts = Accounts(database, Hashing(), sessions, Outbox(settings.mail), settings.google)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        await database.open()
        # What was imported and built by now stays: the collector need not look through it at every turn under load.
        gc.collect()
        gc.freeze()
        tasks = [asyncio.create_task(_become_ready(gate, settings)), asyncio.create_task(monitor.run())]
        worker = Worker(database, accounts.outbox, make_sender(settings.mail))
        working = asyncio.create_task(work_when_ready(gate, worker)) if settings.mail.in_app else None
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            worker.stop()
            if working is not None:
                await end_softly(working)
            accounts.hashing.close()
            if store is not None:
                await store.close()
            await database.close()
            requests.flush()

    app = Litestar(
        route_handlers=[
            Router(
                path=PREFIX,
                route_handlers=[
                    greet,
                    health.router,
                    accounts_routes.router,
                    words.router,
                    quizzes.router,
                    users.router,
                    reviews.router,
                    _docs_assets(),
                ],
            ),
            *([show_metrics] if settings.metrics.token else []),
        ],
        dependencies={
            "database": _given(database),
            "gate": _given(gate),
            "answers": _given(answers),
            "settings": _given(settings),
            "accounts": _given(accounts),
            "jar": _given(Cookies(settings.tokens)),
            "quiz_shelf": _given(quiz_shelf),
            "word_reader": _given(word_reader),
            "imports": _given(imports),
            "monitor": Provide(lambda: monitor, sync_to_thread=False),  # made below
        },
        state=State({"identities": Identities(database, freshness, secret)}),
        request_max_body_size=None,  # Incoming sees to it, by route
        exception_handlers={
            ApiError: answer_api_error,
            HTTPException: answer_http_exception,
            psycopg.OperationalError: answer_database_away,
            **dict.fromkeys(BUSY, answer_database_busy),
            PoolTimeout: answer_database_away,
            DatabaseUnreachable: answer_database_away,
            Exception: answer_unexpected,
        },
        lifespan=[lifespan],
        openapi_config=_openapi(),
        logging_config=None,
        debug=False,
    )
    routes = Routes(app)
    numbers = Numbers(shared, len(routes.all))
    monitor = Monitor(settings, database, gate, store, numbers, Reader(shared, routes.all, __version__))
    requests = RequestLog(settings.log_format)
    return Conventions(
        Shortcut(app, answers),
        routes,
        Origins(settings.cors_origins),
        Limiter(Clients(settings.limits.trusted_proxies), store),
        gate,
        shared,
        Records(numbers, requests),
    )


def _given(value: object) -> Provide:
    """What handlers get by its name, the same for every request."""
    return Provide(lambda: value, sync_to_thread=False)


def _limit_store(settings: Settings, shared: Shared) -> Store | None:
    """Where requests are counted: in Redis for all servers, else in memory for the workers of this one."""
    if not settings.limits.enabled:
        return None
    local = SharedStore(shared)
    return RedisStore(settings.limits.redis_url, local) if settings.limits.redis_url else local


async def _become_ready(gate: SchemaGate, settings: Settings) -> None:
    await gate.wait(settings.schema_wait_seconds, _give_up)
    if gate.open and settings.vocabulary == "jlpt":
        try:
            stored = await asyncio.to_thread(load_vocabulary, settings.target, again=False)
        except (psycopg.Error, MichiError) as error:
            log.failure("vocabulary.not_loaded", error, retry="at the next start")
            return
        if stored:
            log.info("vocabulary.loaded", words=stored.imported)


def _give_up(sentence: str) -> None:
    """Ends this worker's server: the parent process finds the reason again and leaves with its exit code."""
    log.error("start.given_up", reason=sentence)
    os.kill(os.getppid(), signal.SIGTERM)


def _docs_assets() -> Router:
    """Swagger UI's files from the package that ships them, so that the documentation needs no other host."""
    spec = importlib.util.find_spec("swagger_ui")
    assert spec is not None
    assert spec.origin is not None
    return create_static_files_router(
        ASSETS, [Path(spec.origin).parent / "static"], name="docs-assets", include_in_schema=False
    )


def _openapi() -> OpenAPIConfig:
    assets = PREFIX + ASSETS
    page = SwaggerRenderPlugin(
        path="/",
        js_url=f"{assets}/swagger-ui-bundle.js",
        css_url=f"{assets}/swagger-ui.css",
        standalone_preset_js_url=f"{assets}/swagger-ui-standalone-preset.js",
        favicon=f"<link rel='icon' type='image/png' href='{assets}/favicon-32x32.png'>",
    )
    return OpenAPIConfig(
        title="KotobaMichi",
        version=__version__,
        description=f"The way of words: an API for learning Japanese vocabulary.\n\n{ATTRIBUTION}",
        license=License(name="MIT", identifier="MIT"),
        path=PREFIX + DOCS,
        render_plugins=[page],
        servers=[Server(url="/")],
        use_handler_docstrings=False,
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
                "cookie": SecurityScheme(type="apiKey", name=ACCESS_COOKIE, security_scheme_in="cookie"),
            }
        ),
    )
