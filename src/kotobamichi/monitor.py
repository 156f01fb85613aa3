"""What the operator sees of this worker: its heartbeat in the shared numbers, and /metrics on a port of its own or on the API's."""

from __future__ import annotations

import asyncio
import hmac
import os
from contextlib import suppress
from typing import Any

import psycopg
from litestar import Request, Response, get
from psycopg_pool import PoolTimeout

from kotobamichi.db import Database
from kotobamichi.errors import Unauthenticated
from kotobamichi.health import SchemaGate
from kotobamichi.limits import RedisStore, Store
from kotobamichi.logs import get_log
from kotobamichi.mail.outbox import outbox_counts
from kotobamichi.metrics import BEAT_SECONDS, CONTENT_TYPE, DatabaseNumbers, Numbers, Reader
from kotobamichi.settings import Settings

log = get_log("kotobamichi.monitor")

# A monitor gives up after ten seconds or so.
DATABASE_SECONDS = 3.0
REQUEST_SECONDS = 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Monitor:
    """Beats while the worker lives, and answers those who ask for the numbers of the whole server."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        gate: SchemaGate,
        store: Store | None,
        numbers: Numbers,
        reader: Reader,
    ) -> None:
        self.settings = settings
        self.database = database
        self.gate = gate
        self.store = store
        self.numbers = numbers
        self.reader = reader

    async def run(self) -> None:
        """Until it is cancelled."""
        server = None
        if self.settings.metrics.port is not None:
            # Every worker listens on the port, and the kernel chooses one: each knows the numbers of all.
            try:
                server = await asyncio.start_server(
                    self._serve, self.settings.host, self.settings.metrics.port, reuse_port=True, limit=16 * 1024
                )
            except OSError as error:
                log.error("metrics.port_not_opened", port=self.settings.metrics.port, reason=error.strerror)
        try:
            while True:
                self._beat()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            if server is not None:
                server.close()

    def _beat(self) -> None:
        pool = self.database.pool.get_stats()
        pipelines = [pipeline for pipeline in self.database.pipelines if pipeline.usable]
        self.numbers.beat(
            memory=_resident_bytes(),
            pool_size=pool.get("pool_size", 0),
            pool_idle=pool.get("pool_available", 0),
            pool_waiting=pool.get("requests_waiting", 0),
            pool_most=self.settings.pool_size,
            pipelines=len(pipelines),
            pipelined=sum(len(pipeline.waiting) for pipeline in pipelines),
            limits_away=int(isinstance(self.store, RedisStore) and self.store.away),
        )

    async def exposition(self) -> str:
        """The numbers of all workers, and what the database says, as OpenMetrics text."""
        self._beat()
        return self.reader.exposition(await self._ask_database())

    async def _ask_database(self) -> DatabaseNumbers:
        seen = await self.gate.look()
        outbox = None
        if self.gate.open and seen.database == "up":
            with suppress(psycopg.Error, PoolTimeout, TimeoutError, OSError):
                async with asyncio.timeout(DATABASE_SECONDS):
                    outbox = await outbox_counts(self.database)
        schema = seen.schema
        return DatabaseNumbers(seen.database == "up", schema.expected, schema.actual, schema.state == "ready", outbox)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its answer: as much of HTTP as a monitor speaks."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            method, path, _version = head.split(b"\r\n", 1)[0].split(b" ")
            if path.partition(b"?")[0] != b"/metrics" or method not in {b"GET", b"HEAD"}:
                status, kind, body = "404 Not Found", "text/plain", b"The numbers are at GET /metrics.\n"
            else:
                status, kind, body = "200 OK", CONTENT_TYPE, (await self.exposition()).encode()
            answer = (
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(answer.encode() + (b"" if method == b"HEAD" else body))
            await writer.drain()
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever that was, it was no monitor
        finally:
            writer.close()


@get("/metrics", include_in_schema=False)
async def show_metrics(request: Request[Any, Any, Any], monitor: Monitor) -> Response[str]:
    """On the API's port, for whoever has the token."""
    token = monitor.settings.metrics.token or ""
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise Unauthenticated
    return Response(await monitor.exposition(), media_type=CONTENT_TYPE)


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 -- every second; a Path costs more than the read
            return int(file.read().split()[1]) * PAGE_BYTES
    except OSError:
        return 0
