"""The worker against a real SMTP server and a real outbox: delivery, retries, giving up, many workers, TLS, clearing away."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kotobamichi.db import Database
from kotobamichi.ids import new_id
from kotobamichi.logs import TextFormatter
from kotobamichi.mail.housekeeping import OLD, clear_old_rows
from kotobamichi.mail.messages import Letter, link_letter
from kotobamichi.mail.outbox import LEASE, Outbox, claim_mails, mark_sent, outbox_counts
from kotobamichi.mail.sender import SEND_SECONDS, LogSender, Sender, SmtpSender
from kotobamichi.mail.worker import Pace, Worker
from kotobamichi.settings import MailSettings, read_settings
from michi.settings import parse_url
from tests.support.mailbox import Mailbox, listening
from tests.support.servers import free_port

# A hurried worker: what takes minutes in life takes milliseconds here.
HURRY = Pace(poll_seconds=0.02, first_wait_seconds=0.05, longest_wait_seconds=0.2, most_attempts=4)
DEADLINE_SECONDS = 30.0
Rows = list[tuple[Any, ...]]


class Post:
    """An outbox, a mailbox, and workers between them."""

    def __init__(self, database: Database, mailbox: Mailbox) -> None:
        self.database = database
        self.mailbox = mailbox
        self.settings = settings_for(mailbox.port)
        self.outbox = Outbox(self.settings)

    def worker(self, sender: Sender | None = None, pace: Pace = HURRY) -> Worker:
        return Worker(self.database, Outbox(self.settings), sender or SmtpSender(self.settings), pace)

    async def write(self, *recipients: str, letter: Letter | None = None) -> None:
        for recipient in recipients:
            async with self.database.transaction() as connection:
                text = letter or link_letter("verify_email", "https://learn.example.org", "token", 60)
                await self.outbox.add(connection, recipient, text, datetime.now(UTC))

    async def rows(self, columns: str = "recipient, attempts, sent_at IS NOT NULL, given_up_at IS NOT NULL") -> Rows:
        return await self.database.fetch_all(f"SELECT {columns} FROM outbox ORDER BY id")

    async def run_until(self, settled: Callable[[], Awaitable[bool]], *workers: Worker) -> None:
        """Runs workers until it is so, then stops them."""
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not await settled():
                    for task in tasks:
                        assert not task.done() or task.exception() is None
                    await asyncio.sleep(0.02)
        finally:
            for worker in workers:
                worker.stop()
            await asyncio.gather(*tasks)

    async def nothing_waits(self) -> bool:
        return (await outbox_counts(self.database)).waiting == 0


def settings_for(port: int, **more: Any) -> MailSettings:
    environ = {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port)}
    return replace(read_settings(environ).mail, **more)


def use(url: str, work: Callable[[Post], Awaitable[None]], mailbox: Mailbox | None = None, **server: Any) -> Mailbox:
    """Does the work with a mailbox that listens."""

    async def main(opened: Mailbox) -> None:
        database = Database(parse_url(url, "test"), 8, "kotobamichi/test")
        await database.open()
        try:
            async with asyncio.timeout(2 * DEADLINE_SECONDS):
                await work(Post(database, opened))
        finally:
            await database.close()

    with listening(mailbox or Mailbox(), **server) as opened:
        asyncio.run(main(opened))
    return opened


def told(caplog: pytest.LogCaptureFixture) -> str:
    """What we logged; the server of the test logs, too."""
    return "\n".join(
        TextFormatter().format(record) for record in caplog.records if record.name.startswith("kotobamichi")
    )


def test_a_mail_is_delivered_once_by_many_workers(people_url: str) -> None:
    recipients = [f"person-{number}@example.org" for number in range(40)]

    async def work(post: Post) -> None:
        await post.write(*recipients)
        await post.run_until(post.nothing_waits, *(post.worker() for _ in range(4)))
        assert await post.rows() == [(recipient, 1, True, False) for recipient in recipients]
        assert {row[0] for row in await post.rows("body_text || body_html")} == {None}

    mailbox = use(people_url, work)
    assert sorted(mail.recipient for mail in mailbox.received) == sorted(recipients)
    assert len({mail.message["Message-ID"] for mail in mailbox.received}) == len(recipients)


def test_what_is_rolled_back_is_not_mailed(people_url: str) -> None:
    async def work(post: Post) -> None:
        letter = link_letter("verify_email", "https://learn.example.org", "token", 60)
        async with post.database.transaction() as connection:
            await post.outbox.add(connection, "nobody@example.org", letter, datetime.now(UTC))
            raise psycopg.Rollback
        assert await post.rows() == []

    use(people_url, work)


def test_a_busy_server_is_asked_again_and_the_mail_is_the_same(people_url: str) -> None:
    mailbox = Mailbox()
    answers = iter(["451 busy", "421 closing", None, "452 full", None, None])
    stages: list[str] = []

    def refuse(_recipient: str, stage: str) -> str | None:
        stages.append(stage)
        return next(answers)

    mailbox.refuse = refuse

    async def work(post: Post) -> None:
        await post.write("mika@example.org")
        await post.run_until(post.nothing_waits, post.worker())
        assert await post.rows() == [("mika@example.org", 4, True, False)]
        assert await post.rows("last_error") == [(None,)]

    use(people_url, work, mailbox)
    assert stages == ["RCPT", "RCPT", "RCPT", "DATA", "RCPT", "DATA"]
    assert len(mailbox.received) == 1


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
def test_a_refusal_for_ever_is_given_up_visibly(people_url: str, caplog: pytest.LogCaptureFixture, stage: str) -> None:
    mailbox = Mailbox()
    mailbox.refuse = lambda recipient, asked: (
        f"550 <{recipient}> is unknown" if asked == stage and recipient.startswith("gone") else None
    )

    async def work(post: Post) -> None:
        await post.write("gone@example.org", "here@example.org")
        await post.run_until(post.nothing_waits, post.worker())
        assert await post.rows() == [("gone@example.org", 1, False, True), ("here@example.org", 1, True, False)]
        assert await post.rows("last_error, body_text") == [("the server answered 550", None), (None, None)]
        counts = await outbox_counts(post.database)
        assert (counts.waiting, counts.retrying, counts.given_up) == (0, 0, 1)

    with caplog.at_level(logging.INFO):
        use(people_url, work, mailbox)
    errors = [TextFormatter().format(record) for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "mail.given_up mail=" in errors[0]
    assert 'attempts=1 reason="the server answered 550"' in errors[0]
    assert "example.org" not in told(caplog), "no address in the log"


def test_a_server_that_stays_away_is_given_up_after_the_last_attempt(people_url: str) -> None:
    async def work(post: Post) -> None:
        post.settings = settings_for(free_port())
        await post.write("mika@example.org")
        await post.run_until(post.nothing_waits, post.worker())
        assert await post.rows() == [("mika@example.org", HURRY.most_attempts, False, True)]

    use(people_url, work)


def test_a_server_that_comes_back_gets_the_mail(people_url: str) -> None:
    port = free_port()
    patient = replace(HURRY, most_attempts=1000)

    async def work(post: Post) -> None:
        post.settings = settings_for(port)
        await post.write("mika@example.org")

        async def tried_twice() -> bool:
            return bool((await post.rows("attempts >= 2 AND last_error IS NOT NULL"))[0][0])

        await post.run_until(tried_twice, post.worker(pace=patient))
        assert (await outbox_counts(post.database)).retrying == 1
        mailbox = Mailbox()
        with listening(mailbox, port=port):
            await post.run_until(post.nothing_waits, post.worker(pace=patient))
        assert [mail.recipient for mail in mailbox.received] == ["mika@example.org"]

    use(people_url, work)


def test_an_address_that_no_header_can_hold_is_given_up_without_asking(people_url: str) -> None:
    async def work(post: Post) -> None:
        await post.write("a@example.org\r\nBcc: b@example.org", "a@")
        await post.run_until(post.nothing_waits, post.worker())
        assert [row[1:] for row in await post.rows()] == [(1, False, True)] * 2

    assert use(people_url, work).tried == 0


def test_an_address_with_letters_of_any_script_is_reached(people_url: str) -> None:
    async def work(post: Post) -> None:
        await post.write("みか@example.org")
        await post.run_until(post.nothing_waits, post.worker())

    assert [mail.recipient for mail in use(people_url, work).received] == ["みか@example.org"]


def test_a_claimed_mail_is_nobody_elses_until_its_lease_ends(people_url: str) -> None:
    """What a worker that died had in hand is sent by another, and the dead one's late word changes nothing."""

    async def work(post: Post) -> None:
        await post.write("mika@example.org")
        now = datetime.now(UTC)
        (mine,) = await claim_mails(post.database, 10, now)
        assert await claim_mails(post.database, 10, now) == []
        assert await claim_mails(post.database, 10, now + LEASE - timedelta(seconds=1)) == []
        (theirs,) = await claim_mails(post.database, 10, now + LEASE + timedelta(seconds=1))
        assert (mine.attempt, theirs.attempt) == (1, 2)
        await mark_sent(post.database, mine, now)
        assert await post.rows("sent_at, body_text IS NOT NULL") == [(None, True)]
        await mark_sent(post.database, theirs, now)
        assert await post.rows("sent_at IS NOT NULL, body_text") == [(True, None)]

    use(people_url, work)
    assert LEASE.total_seconds() > 2 * SEND_SECONDS


def test_no_lock_is_held_while_a_mail_is_on_its_way(people_url: str) -> None:
    """The server takes its time; meanwhile anybody may change the row, and a stopping worker still finishes the mail."""
    mailbox = Mailbox()
    held, free = asyncio.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def rcpt(_server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        loops[0].call_soon_threadsafe(held.set)
        await asyncio.to_thread(free.wait, DEADLINE_SECONDS)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    mailbox.handle_RCPT = rcpt  # type: ignore[method-assign]

    async def work(post: Post) -> None:
        loops.append(asyncio.get_running_loop())
        await post.write("mika@example.org")
        worker = post.worker()
        task = asyncio.create_task(worker.run())
        await held.wait()
        async with post.database.transaction() as connection:
            await connection.execute("SET LOCAL lock_timeout = '1s'")
            await connection.execute("UPDATE outbox SET subject = subject")
        worker.stop()
        free.set()
        await task
        assert await post.rows() == [("mika@example.org", 1, True, False)]

    use(people_url, work, mailbox)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate of its own, and a client's that trusts it."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))


@pytest.mark.parametrize(("password", "sent"), [("right", True), ("wrong", False)])
def test_a_login_travels_over_starttls_and_a_wrong_one_is_tried_again_later(
    people_url: str, certificate: tuple[ssl.SSLContext, ssl.SSLContext], password: str, sent: bool
) -> None:
    server, client = certificate

    async def work(post: Post) -> None:
        post.settings = settings_for(post.mailbox.port, user="someone", password=password)
        await post.write("mika@example.org")

        async def tried() -> bool:
            return bool((await post.rows("sent_at IS NOT NULL OR last_error IS NOT NULL"))[0][0])

        await post.run_until(tried, post.worker(SmtpSender(post.settings, client), replace(HURRY, most_attempts=1000)))
        assert await post.rows("sent_at IS NOT NULL, given_up_at") == [(sent, None)]
        if not sent:
            assert await post.rows("last_error") == [("SMTPAuthenticationError 535",)]

    assert len(use(people_url, work, tls=server, password="right").received) == sent


def test_a_password_is_not_told_to_a_server_without_tls(people_url: str) -> None:
    async def work(post: Post) -> None:
        post.settings = settings_for(post.mailbox.port, user="someone", password="right")
        await post.write("mika@example.org")
        await post.run_until(post.nothing_waits, post.worker())
        assert await post.rows("given_up_at IS NOT NULL, last_error") == [
            (True, "SMTP STARTTLS extension not supported by server.")
        ]

    assert use(people_url, work).received == []


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    people_url: str, certificate: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def work(post: Post) -> None:
        await post.write("mika@example.org")
        await post.run_until(post.nothing_waits, post.worker())
        assert await post.rows("given_up_at IS NOT NULL") == [(True,)]

    assert use(people_url, work, tls=certificate[0]).received == []


def test_without_smtp_the_link_is_logged_and_no_address(people_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(post: Post) -> None:
        await post.write("mika@example.org")
        await post.run_until(post.nothing_waits, post.worker(LogSender()))
        assert await post.rows() == [("mika@example.org", 1, True, False)]

    with caplog.at_level(logging.INFO):
        use(people_url, work)
    assert "https://learn.example.org/verify-email?token=token" in told(caplog)
    assert "mika" not in told(caplog)


def test_a_database_that_goes_away_does_not_end_the_worker(
    people_url: str, server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(post: Post) -> None:
        worker = post.worker()
        task = asyncio.create_task(worker.run())
        with psycopg.connect(server_url, autocommit=True) as connection:
            for _ in range(3):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kotobamichi/test'"
                )
                await asyncio.sleep(0.05)
        while True:  # connections of the pool are found dead one by one
            try:
                await post.write("mika@example.org")
                break
            except psycopg.OperationalError:
                continue
        await post.run_until(post.nothing_waits)
        worker.stop()
        await task

    assert len(use(people_url, work).received) == 1


def test_old_rows_are_cleared_away_in_bites_and_young_ones_stay(people_url: str) -> None:
    async def work(post: Post) -> None:
        now = datetime.now(UTC)
        user = new_id()
        async with post.database.transaction() as connection:
            await connection.execute("INSERT INTO users (id, email) VALUES (%s, 'mika@example.org')", (user,))
            for days in (0, 1.5, 3, 10, 40):
                at = now - timedelta(days=days)
                columns = "(purpose, recipient, subject, created_at, {}) VALUES ('notice', 'x', 'x', %s, %s)"
                for column in ("sent_at", "given_up_at", "last_error"):
                    value = str(days) if column == "last_error" else at
                    await connection.execute(f"INSERT INTO outbox {columns.format(column)}", (at, value))
                await connection.execute(
                    "INSERT INTO mail_requests (address_hash, purpose, requested_at)"
                    " SELECT repeat('a', 64), 'verify_email', %s FROM generate_series(1, 700)",
                    (at,),
                )
                await connection.execute(
                    "INSERT INTO refresh_tokens (id, user_id, family_id, token_hash, expires_at)"
                    " VALUES (%s, %s, %s, repeat('a', 64), %s)",
                    (new_id(), user, new_id(), at),
                )
                await connection.execute(
                    "INSERT INTO email_tokens (id, user_id, purpose, token_hash, expires_at)"
                    " VALUES (%s, %s, 'verify_email', encode(sha256(%s), 'hex'), %s)",
                    (new_id(), user, str(days).encode(), at),
                )
        gone = await asyncio.gather(*(clear_old_rows(post.database, now) for _ in range(3)))
        # Sent mails over 2 days, given up ones over 30; requests over 2 days; sessions over 1; links over 7.
        assert sum(gone) == 3 + 1 + 3 * 700 + 4 + 2
        left = [
            await post.database.fetch_one(f"SELECT count(*) FROM {table}")
            for table in dict.fromkeys(t for t, *_ in OLD)
        ]
        assert left == [(15 - 4,), (2 * 700,), (1,), (3,)]

    use(people_url, work)


def test_counts_say_how_long_the_oldest_mail_waits(people_url: str) -> None:
    async def work(post: Post) -> None:
        assert (await outbox_counts(post.database)).oldest_seconds == 0
        await post.write("a@example.org", "b@example.org")
        async with post.database.transaction() as connection:
            await connection.execute(
                "UPDATE outbox SET created_at = now() - interval '90 s' WHERE recipient LIKE 'a%%'"
            )
        counts = await outbox_counts(post.database)
        assert counts.waiting == 2
        assert 89 < counts.oldest_seconds < 90 + DEADLINE_SECONDS

    use(people_url, work)


def test_a_mail_is_sent_at_once_when_the_worker_is_told(people_url: str) -> None:
    async def work(post: Post) -> None:
        slow = Worker(post.database, post.outbox, SmtpSender(post.settings), replace(HURRY, poll_seconds=3600.0))
        task = asyncio.create_task(slow.run())
        for recipient in ("a@example.org", "b@example.org"):
            await post.write(recipient)
            post.outbox.wake()
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not await post.nothing_waits():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
        slow.stop()
        await task

    assert len(use(people_url, work).received) == 2
