"""create_app(settings): the only place where the API is wired together."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from litestar import Litestar, MediaType, Router, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Server
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp
from psycopg_pool import PoolTimeout

from kotobamichi import __version__, health
from kotobamichi.accounts.identity import ACCESS_COOKIE, Identities
from kotobamichi.db import Database
from kotobamichi.errors import ApiError
from kotobamichi.freshness import Answers, Freshness
from kotobamichi.health import SchemaGate
from kotobamichi.http import (
    Conventions,
    answer_api_error,
    answer_database_away,
    answer_http_exception,
    answer_unexpected,
)
from kotobamichi.quizzes import routes as quizzes
from kotobamichi.quizzes.known import QuizShelf, new_shelf
from kotobamichi.reviews import routes as reviews
from kotobamichi.settings import Settings, read_settings
from kotobamichi.shortcut import Shortcut
from kotobamichi.users import routes as users
from kotobamichi.words import routes as words
from kotobamichi.words.importing import Imports
from kotobamichi.words.imports import load_vocabulary
from kotobamichi.words.reading import WordReader
from kotobamichi.words.vocabulary import ATTRIBUTION
from michi.errors import DatabaseUnreachable, MichiError
from michi.folder import read_folder

log = logging.getLogger("kotobamichi")

PREFIX = "/v1"
DOCS = "/docs"
# Uploads have a limit of their own.
MOST_BODY_BYTES = 1024 * 1024
ASSETS = f"{DOCS}/assets"


@get("/", media_type=MediaType.TEXT, summary="Greet", tags=["Start"])
async def greet() -> str:
    return f"KotobaMichi {__version__}: the way of words. Documentation: {PREFIX}{DOCS}\n{ATTRIBUTION}\n"


def create_app(settings: Settings) -> ASGIApp:
    """The ASGI app. Answers its health probes at once, everything else as soon as the database has the schema it needs."""
    folder = read_folder(settings.migrations)
    database = Database(settings.target, settings.pool_size, f"kotobamichi/{folder.head or 'none'}")
    gate = SchemaGate(database, folder)
    freshness = Freshness(database)
    answers = Answers(freshness)
    quiz_shelf = new_shelf(freshness)
    word_reader = WordReader(database, freshness, answers)
    imports = Imports(settings.target, settings.import_folder)
    # A secret of this process alone: what `serve` and `up` set is shared by all workers.
    secret = settings.tokens.secret or secrets.token_urlsafe(48)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        await database.open()
        # What was imported and built by now stays: the collector need not look through it at every turn under load.
        gc.collect()
        gc.freeze()
        waiting = asyncio.create_task(_become_ready(gate, settings))
        try:
            yield
        finally:
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            await database.close()

    async def provide_database() -> Database:
        return database

    async def provide_gate() -> SchemaGate:
        return gate

    async def provide_answers() -> Answers:
        return answers

    async def provide_settings() -> Settings:
        return settings

    async def provide_quiz_shelf() -> QuizShelf:
        return quiz_shelf

    async def provide_word_reader() -> WordReader:
        return word_reader

    async def provide_imports() -> Imports:
        return imports

    app = Litestar(
        route_handlers=[
            Router(
                path=PREFIX,
                route_handlers=[
                    greet,
                    health.router,
                    words.router,
                    quizzes.router,
                    users.router,
                    reviews.router,
                    _docs_assets(),
                ],
            )
        ],
        dependencies={
            "database": provide_database,
            "gate": provide_gate,
            "answers": provide_answers,
            "settings": provide_settings,
            "quiz_shelf": provide_quiz_shelf,
            "word_reader": provide_word_reader,
            "imports": provide_imports,
        },
        state=State({"identities": Identities(database, freshness, secret)}),
        request_max_body_size=MOST_BODY_BYTES,
        exception_handlers={
            ApiError: answer_api_error,
            HTTPException: answer_http_exception,
            psycopg.OperationalError: answer_database_away,
            PoolTimeout: answer_database_away,
            DatabaseUnreachable: answer_database_away,
            Exception: answer_unexpected,
        },
        lifespan=[lifespan],
        openapi_config=_openapi(),
        logging_config=None,
        debug=False,
    )
    return Conventions(Shortcut(app, answers), settings.cors_origins, gate)


async def _become_ready(gate: SchemaGate, settings: Settings) -> None:
    await gate.wait(settings.schema_wait_seconds, _give_up)
    if gate.open and settings.vocabulary == "jlpt":
        try:
            stored = await asyncio.to_thread(load_vocabulary, settings.target, again=False)
        except (psycopg.Error, MichiError) as error:
            log.error("the vocabulary was not loaded, the next start tries again: %s", error)
            return
        if stored:
            log.info("loaded %d words of the JLPT vocabulary", stored.imported)


def _give_up(sentence: str) -> None:
    """Ends this worker's server: the parent process finds the reason again and leaves with its exit code."""
    log.error("%s", sentence)
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


def create_app_from_environment() -> Any:
    """What each worker process of the server calls."""
    return create_app(read_settings(os.environ))
