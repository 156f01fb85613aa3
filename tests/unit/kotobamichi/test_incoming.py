"""A body as the app reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from kotobamichi import incoming
from kotobamichi.errors import BodyTooLarge, BodyTooSlow
from kotobamichi.incoming import MOST_BODY_BYTES, MOST_UPLOAD_BYTES, Incoming, most_body_of


class Client:
    """Sends these parts, and then nothing."""

    def __init__(self, parts: Sequence[bytes], *, ends: bool = True) -> None:
        self.messages: list[Any] = [
            {"type": "http.request", "body": part, "more_body": not ends or number < len(parts)}
            for number, part in enumerate(parts, 1)
        ]

    async def receive(self) -> Any:
        if not self.messages:
            await asyncio.sleep(60)
        return self.messages.pop(0)


def test_a_body_of_just_the_limit_is_read_and_one_byte_more_is_refused_when_it_comes() -> None:
    async def read(parts: Sequence[bytes]) -> int:
        body = Incoming(Client(parts).receive, 10)
        count = 0
        while not body.ended:
            await body.receive()
            count += 1
        return count

    assert asyncio.run(read([b"12345", b"67890"])) == 2
    with pytest.raises(BodyTooLarge):
        asyncio.run(read([b"12345", b"67890", b"1", b"2"]))


def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "BODY_SECONDS", 0.05)

    async def read() -> None:
        body = Incoming(Client([b"1"], ends=False).receive, 10)
        await body.receive()
        await body.receive()

    with pytest.raises(BodyTooSlow):
        asyncio.run(read())


def test_the_rest_of_a_body_is_read_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "REST_SECONDS", 0.05)
    monkeypatch.setattr(incoming, "MOST_REST_BYTES", 10)

    async def rest(client: Client) -> int:
        await Incoming(client.receive, 10).read_rest()
        return len(client.messages)

    assert asyncio.run(rest(Client([b"1", b"2", b"3"]))) == 0
    assert asyncio.run(rest(Client([b"12345"] * 5))) == 3
    assert asyncio.run(rest(Client([b"1"], ends=False))) == 0


def test_uploads_may_be_larger() -> None:
    assert most_body_of("POST /v1/words") == MOST_BODY_BYTES == 2**20
    assert most_body_of("POST /v1/words/import/upload") == MOST_UPLOAD_BYTES > 20 * 2**20
