"""Sends several statements in one go and takes their answers one by one (libpq's pipeline mode). What they are is attempt.py's.

A round trip costs more than most statements of a migration. The server still runs one after the other, passes over the rest after
the first that fails, and answers each as soon as it is done, so it is known at any time which one runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from psycopg import errors, generators, waiting
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from michi.database import Connection

# A script of many megabytes shall not be copied into libpq's buffer whole, and little is ahead of the server when it must stop.
AHEAD_BYTES = 256 * 1024
BOOLEAN = 16  # its OID
FAILED = frozenset({ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE})


class Message(NamedTuple):
    """One statement, with values for its `$1`, `$2`, ... as text."""

    text: bytes
    values: Sequence[str | None] = ()

    @property
    def size(self) -> int:
        return len(self.text) + sum(len(value) for value in self.values if value is not None)


def send_together(
    connection: Connection, messages: Sequence[Message], on_begin: Callable[[int], None]
) -> list[PGresult]:
    """The last result of each message, in order. `on_begin` is told the number of each as the server comes to it.

    Raises psycopg's error of the first that fails; those behind it have not run. A transaction that was open stays so, failed.
    Interrupted, it cancels what runs; a session that could not be brought to rest is closed, which ends its transaction.
    """
    pgconn = connection.pgconn
    pgconn.enter_pipeline_mode()
    try:
        results = connection.wait(Conversation(pgconn, messages, on_begin).hold())
    except BaseException:
        if pgconn.pipeline_status != PipelineStatus.OFF:
            pgconn.finish()
        raise
    if results and results[-1].status in FAILED:
        raise errors.error_from_result(results[-1])
    return results


class Conversation:
    """What was said and answered so far. `results` ends with the first that failed."""

    def __init__(self, pgconn: PGconn, messages: Sequence[Message], on_begin: Callable[[int], None]) -> None:
        self.pgconn = pgconn
        self.messages = messages
        self.on_begin = on_begin
        self.results: list[PGresult] = []
        self.sent = 0
        self.answered = 0
        self.ahead_bytes = 0
        self.failed = False
        self.synced = False

    def hold(self) -> PQGen[list[PGresult]]:
        """Gives the results, out of pipeline mode."""
        self.on_begin(0)
        while True:
            self._send()
            wanted = waiting.WAIT_RW if self.pgconn.flush() else waiting.WAIT_R
            while not (ready := (yield wanted)):
                continue
            if not ready & waiting.READY_R:
                continue
            try:
                self.pgconn.consume_input()
                ended = self._take_answers()
            except errors.OperationalError:
                if self.failed:  # the server said why before it hung up
                    return self.results
                raise
            if ended:
                self.pgconn.exit_pipeline_mode()
                return self.results

    def _send(self) -> None:
        """Each message with a request to answer at once, not when the server's buffer is full or all is done."""
        while self.sent < len(self.messages) and not self.failed and self.ahead_bytes < AHEAD_BYTES:
            message = self.messages[self.sent]
            values = [value.encode() if value is not None else None for value in message.values]
            self.pgconn.send_query_params(message.text, values or None)
            self.pgconn.send_flush_request()
            self.ahead_bytes += message.size
            self.sent += 1
        if not self.synced and (self.failed or self.sent == len(self.messages)):
            self.pgconn.pipeline_sync()
            self.synced = True

    def _take_answers(self) -> bool:
        """Reads what has arrived; True once nothing more will. Raises OperationalError when the session has ended before that."""
        while (self.answered < self.sent or self.synced) and not self.pgconn.is_busy():
            result = self.pgconn.get_result()
            if result is None and self.answered == self.sent:  # no message is left that this could end
                raise errors.OperationalError("the session has ended")
            if result is None:  # the end of one message's results
                self.ahead_bytes -= self.messages[self.answered].size
                self.answered += 1
                if not self.failed and self.answered < len(self.messages):
                    self.on_begin(self.answered)
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return True
            elif not self.failed:
                self.failed = result.status in FAILED
                self.results[self.answered :] = [result]
        return False


def commit(connection: Connection, then: bytes) -> bool:
    """COMMIT and, in the same message, what comes after it. Raises the error of the COMMIT; False where only the rest failed."""
    pgconn = connection.pgconn
    try:
        pgconn.send_query(b"COMMIT; " + then)
        committed, *rest = connection.wait(generators.execute(pgconn))
    except BaseException:
        if pgconn.transaction_status == TransactionStatus.ACTIVE:
            pgconn.finish()
        raise
    if committed.status in FAILED:
        raise errors.error_from_result(committed)
    return not any(result.status in FAILED for result in rest)


def is_true(result: PGresult) -> bool:
    """Whether a query gave rows, and each value of them is true."""
    columns = range(result.nfields)
    return result.ntuples > 0 and all(
        result.ftype(column) == BOOLEAN and result.get_value(row, column) == b"t"
        for row in range(result.ntuples)
        for column in columns
    )
