"""What mails say: links, escaping, headers that nobody can add to."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.policy import SMTPUTF8

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some

from kotobamichi.bodies import EMAIL
from kotobamichi.errors import StartRefused
from kotobamichi.mail.messages import AddressUnusable, Letter, compose, duration, link_letter, password_changed_letter
from kotobamichi.mail.worker import Pace
from kotobamichi.settings import read_settings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SENDER = "KotobaMichi <no-reply@example.org>"
LETTER = Letter("notice", "Subject", "text\n", "<p>html</p>")


@pytest.mark.parametrize("purpose", ["verify_email", "reset_password"])
def test_the_link_stands_in_text_and_html(purpose: str) -> None:
    letter = link_letter(purpose, "https://learn.example.org", "T-_0", 86_400)  # type: ignore[arg-type]
    path = {"verify_email": "verify-email", "reset_password": "reset-password"}[purpose]
    link = f"https://learn.example.org/{path}?token=T-_0"
    assert link in letter.text.splitlines()
    assert letter.html.count(link) == 2
    assert "1 day" in letter.text


def test_whatever_is_put_into_a_mail_is_escaped() -> None:
    nasty = 'https://x.example/"><script>alert(1)</script>&'
    for letter in (link_letter("verify_email", nasty, "<b>", 60), password_changed_letter(nasty, NOW)):
        assert "<script" not in letter.html
        assert "&lt;script&gt;" in letter.html
        assert "<b>" not in letter.html
        assert "&quot;&gt;" in letter.html
        assert "<script>" in letter.text, "text is not HTML"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(86_400, "1 day"), (172_800, "2 days"), (3600, "1 hour"), (5400, "90 minutes"), (90, "90 seconds")],
)
def test_a_duration_is_told_in_the_largest_whole_unit(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_a_message_has_what_mail_servers_ask_for() -> None:
    message = compose(LETTER, "mika@example.org", SENDER, "7.20260102", NOW)
    assert message["From"] == SENDER
    assert message["To"] == "mika@example.org"
    assert message["Message-ID"] == "<7.20260102@example.org>"
    assert message["Date"] == "Fri, 02 Jan 2026 03:04:05 +0000"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org\r\nBcc: b@example.org", "a\nBcc: b@example.org", "a\rb@example.org", "a@exa\nmple.org", "@", "a@",
        "@example.org", "a",
    ],
)  # fmt: skip
def test_no_address_can_add_a_header(address: str) -> None:
    with pytest.raises(AddressUnusable):
        compose(LETTER, address, SENDER, "1", NOW)


@pytest.mark.parametrize("subject", ["x\r\nBcc: b@example.org", "x\nBcc: b@example.org"])
def test_no_subject_can_add_a_header(subject: str) -> None:
    with pytest.raises((ValueError, HeaderParseError)):
        compose(Letter("notice", subject, "", ""), "a@example.org", SENDER, "1", NOW)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("a,b@example.org", '"a,b"@example.org'),
        ("a(b)@example.org", '"a(b)"@example.org'),
        ("a..b@example.org", "a..b@example.org"),
        ("mika@ことば.example", "mika@xn--28jzbya.example"),
        ("みか@example.org", "みか@example.org"),
    ],
)
def test_an_unusual_address_stays_one_address(address: str, shown: str) -> None:
    message = compose(LETTER, address, SENDER, "1", NOW)
    assert [item.addr_spec for item in message["To"].addresses] == [shown]


def test_a_mail_is_tried_for_hours_at_growing_intervals() -> None:
    pace = Pace()
    waits = [pace.wait_after(attempt).total_seconds() for attempt in range(1, pace.most_attempts)]
    assert waits[:4] == [30, 60, 120, 240]
    assert max(waits) == 3600
    assert 7 * 3600 < sum(waits) < 8 * 3600


@hypothesis_settings(max_examples=40, deadline=None)
@given(some.from_regex(EMAIL, fullmatch=True))
def test_whatever_address_may_register_stays_one_address_in_one_header(address: str) -> None:
    """A domain that no name server could hold is unusable; nothing else happens."""
    try:
        message = compose(LETTER, address, SENDER, "1", NOW)
    except AddressUnusable:
        return
    assert len(message["To"].addresses) == 1
    shown = message.as_bytes(policy=SMTPUTF8)
    head = email.message_from_bytes(shown, policy=SMTPUTF8)
    assert sorted(head.keys()) == sorted(message.keys())
    assert sum(line.lower().startswith(b"to:") for line in shown.split(b"\r\n\r\n")[0].split(b"\r\n")) == 1


@pytest.mark.parametrize("sender", ["nobody", "@example.org", "a@", "A <>", "a@example.org\nBcc: b@example.org"])
def test_a_sender_that_is_none_stops_the_start(sender: str) -> None:
    with pytest.raises(StartRefused, match="SMTP_FROM is no address"):
        read_settings({"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "SMTP_FROM": sender})


def test_settings_say_how_mails_are_sent() -> None:
    environ = {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}
    assert read_settings(environ).mail.mode == "log"
    assert read_settings(environ).mail.in_app
    assert not read_settings(environ | {"MAIL_WORKER": "off"}).mail.in_app
    assert read_settings(environ | {"MAIL": "off", "SMTP_HOST": "mail"}).mail.mode == "off"
    sent = read_settings(environ | {"SMTP_HOST": "mail", "SMTP_SECURE": "true"}).mail
    assert (sent.mode, sent.port, sent.implicit_tls) == ("smtp", 465, True)
    assert read_settings(environ | {"SMTP_HOST": "mail"}).mail.port == 587
