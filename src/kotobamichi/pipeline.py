"""Reads on the hot path: many short statements in flight on one connection, in libpq's pipeline mode.

A pool lends a connection to one request at a time, and each statement costs a registration with the event loop and a wait of its
own. Here the socket is registered once and answers are handed to the requests in the order in which these asked. Only for
statements that an index answers at once: a slow one would hold up those behind it (docs/decisions/0009).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

Row = tuple[Any, ...]

# A server that has not answered for so long is taken for gone; it would have cancelled the statement itself long before.
SILENCE_SECONDS = 20.0

_numbers = itertools.count(1)


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement that is prepared once per connection. Parameters are `$1`, `$2`, ... and travel as text."""

    sql: LiteralString
    name: bytes = field(default_factory=lambda: b"k%d" % next(_numbers))


@dataclass(slots=True)
class Request:
    """A statement in flight. `preparing` is its name while its PREPARE, sent just ahead of it, has not been answered."""

    future: asyncio.Future[list[Row]]
    sent_at: float
    preparing: bytes | None


class Pipeline:
    """One connection in pipeline mode. Every statement is followed by a sync, so each is a transaction of its own."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection
        self.pgconn = connection.pgconn
        self.transformer = Transformer(connection)
        self.loop = asyncio.get_running_loop()
        self.prepared: set[bytes] = set()
        self.waiting: deque[Request] = deque()
        self.result: PGresult | None = None
        self.writing = False
        self.pgconn.nonblocking = 1
        self.pgconn.enter_pipeline_mode()
        self.socket = self.pgconn.socket
        self.loop.add_reader(self.socket, self._on_readable)

    @property
    def usable(self) -> bool:
        if self.waiting and self.loop.time() - self.waiting[0].sent_at > SILENCE_SECONDS:
            self._fail(psycopg.OperationalError("the server does not answer"))
        return self.pgconn.status == ConnStatus.OK

    def fetch(self, statement: Statement, parameters: Sequence[bytes | None]) -> asyncio.Future[list[Row]]:
        """The rows, in time. The future raises psycopg's errors, OperationalError when the connection is lost."""
        future: asyncio.Future[list[Row]] = self.loop.create_future()
        pgconn = self.pgconn
        try:
            preparing = None
            if statement.name not in self.prepared:
                preparing = statement.name
                pgconn.send_prepare(preparing, statement.sql.encode())
                self.prepared.add(preparing)
            pgconn.send_query_prepared(statement.name, parameters)
            pgconn.pipeline_sync()
            self.waiting.append(Request(future, self.loop.time(), preparing))
            self._flush()
        except psycopg.OperationalError as error:
            future.set_exception(error)
            self._fail(error)
        return future

    def _flush(self) -> None:
        blocked = self.pgconn.flush() != 0
        if blocked != self.writing:
            self.writing = blocked
            if blocked:
                self.loop.add_writer(self.socket, self._on_writable)
            else:
                self.loop.remove_writer(self.socket)

    def _on_writable(self) -> None:
        try:
            self._flush()
        except psycopg.OperationalError as error:
            self._fail(error)

    def _on_readable(self) -> None:
        pgconn = self.pgconn
        try:
            pgconn.consume_input()
            while self.waiting and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:  # between the results of one statement
                    continue
                if result.status == ExecStatus.PIPELINE_SYNC:
                    self._hand_over()
                elif result.status == ExecStatus.COMMAND_OK:
                    self.waiting[0].preparing = None
                elif result.status != ExecStatus.PIPELINE_ABORTED:
                    self.result = result
        except psycopg.OperationalError as error:
            self._fail(error)

    def _hand_over(self) -> None:
        request = self.waiting.popleft()
        result, self.result = self.result, None
        if request.preparing is not None:
            self.prepared.discard(request.preparing)
        if request.future.done() or result is None:  # the client has gone
            return
        if result.status == ExecStatus.TUPLES_OK:
            self.transformer.set_pgresult(result)
            request.future.set_result(self.transformer.load_rows(0, result.ntuples, tuple))
        else:
            request.future.set_exception(psycopg.errors.error_from_result(result))

    def _fail(self, error: psycopg.OperationalError) -> None:
        """The connection is lost: everyone waiting is told, and nobody will ask this pipeline again."""
        self.loop.remove_reader(self.socket)
        if self.writing:
            self.loop.remove_writer(self.socket)
        self.pgconn.finish()
        waiting, self.waiting = self.waiting, deque()
        for request in waiting:
            if not request.future.done():
                request.future.set_exception(error)

    def close(self) -> None:
        if self.pgconn.status == ConnStatus.OK:
            self._fail(psycopg.OperationalError("the app is stopping"))
