"""What the container ring needs: an engine, both images, stacks that are taken down and, when a test fails, show their logs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.containers.compose import ROOT, Stack, docker, why_no_engine

IMAGES = ("kotobamichi", "kotobamichi-migration")
LOG_CHARACTERS = 8_000

_running: list[Stack] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failed test shows what its containers said."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and not call.excinfo.errisinstance(pytest.skip.Exception):
        for stack in _running:
            states = stack.compose("ps", "--all", check=False).output
            report.sections.append((f"containers of {stack.name}", states + stack.logs()[-LOG_CHARACTERS:]))


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Skips without an engine, but fails where REQUIRE_CONTAINERS=1 says that there must be one."""
    reason = why_no_engine()
    if reason is None:
        return
    if os.environ.get("REQUIRE_CONTAINERS") == "1":
        pytest.fail(f"REQUIRE_CONTAINERS=1, but {reason}", pytrace=False)
    pytest.skip(f"container tests need a Docker engine with Compose: {reason}")


@pytest.fixture(scope="session")
def tag(engine: None) -> Iterator[str]:
    """Builds both images as `docker compose up --build` does, under a tag of this run; the layers stay in the engine's cache."""
    name = f"0.0.0-test.{uuid.uuid4().hex[:8]}"
    builder = Stack([ROOT / "docker-compose.yml"], {"IMAGE_TAG": name})
    builder.compose("build")
    yield name
    docker("rmi", "--force", *(f"{image}:{name}" for image in IMAGES), check=False)


@contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    """Takes it down whatever happens, with its volumes."""
    _running.append(stack)
    try:
        yield stack
    finally:
        _running.remove(stack)
        stack.down()


@pytest.fixture(scope="module")
def development(tag: str) -> Iterator[Stack]:
    """docker-compose.yml, from nothing and without an .env, started once for a module."""
    with running(Stack([ROOT / "docker-compose.yml"], {"IMAGE_TAG": tag})) as stack:
        stack.up()
        yield stack


@pytest.fixture
def new_stack(tag: str) -> Iterator[Callable[..., Stack]]:
    """Makes a stack for one test; nothing of it is started yet."""
    made: list[Stack] = []

    def make(files: Sequence[Path] = (ROOT / "docker-compose.yml",)) -> Stack:
        stack = Stack(files, {"IMAGE_TAG": tag})
        made.append(stack)
        _running.append(stack)
        return stack

    yield make
    for stack in made:
        _running.remove(stack)
        stack.down()
