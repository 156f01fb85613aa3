"""The app inside the test process, for what an operator cannot set: where Google is. Everything else is tested on a process."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from litestar.exceptions import LitestarDeprecationWarning

from kotobamichi.app import create_app
from kotobamichi.settings import Settings

READY_SECONDS = 30.0


@asynccontextmanager
async def inside(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a started app, once it is ready. It keeps cookies and does not follow redirects."""
    with warnings.catch_warnings():
        # What Litestar 3 will want of handlers; requirements hold it at 2.
        warnings.simplefilter("ignore", LitestarDeprecationWarning)
        app: Any = create_app(settings)
    to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan", "app": app, "state": {}}, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    started = await from_app.get()
    assert started["type"] == "lifespan.startup.complete", started
    try:
        transport = httpx.ASGITransport(app, client=("192.0.2.1", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://app", timeout=30.0) as client:
            async with asyncio.timeout(READY_SECONDS):
                while (await client.get("/v1/health/ready")).status_code != 200:  # noqa: ASYNC110 -- as a probe asks
                    await asyncio.sleep(0.05)
            yield client
    finally:
        await to_app.put({"type": "lifespan.shutdown"})
        await life
