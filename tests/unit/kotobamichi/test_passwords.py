"""Passwords: Argon2id, what older backends stored, the queue for hashing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import bcrypt
import pytest

from kotobamichi.accounts import hashing, passwords
from kotobamichi.accounts.hashing import AT_ONCE, MOST_WAITING, Hashing
from kotobamichi.accounts.passwords import generate_password, hash_password, needs_rehash, verify_password
from kotobamichi.errors import Busy

LONG = "あ" * 400
OLD = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


def test_a_password_is_hashed_whole() -> None:
    hashed = hash_password(LONG)
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert verify_password(LONG, hashed)
    assert not verify_password(LONG[:-1], hashed)
    assert not needs_rehash(hashed)
    assert hash_password("same") != hash_password("same")


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_bcrypt_of_an_older_backend_is_understood_and_to_be_made_anew(prefix: str) -> None:
    hashed = prefix + OLD[4:]
    assert verify_password("secret", hashed)
    assert not verify_password("Secret", hashed)
    assert needs_rehash(hashed)


def test_of_a_long_password_bcrypt_knew_only_the_beginning() -> None:
    hashed = bcrypt.hashpw(LONG.encode()[:72], bcrypt.gensalt(4)).decode()
    assert verify_password(LONG, hashed)


@pytest.mark.parametrize("hashed", ["", "secret", "$2b$10$", "$2b$99$" + "a" * 53, "$argon2id$", "$argon2id$v=19$m=1"])
def test_what_is_no_hash_fits_no_password(hashed: str) -> None:
    assert not verify_password("secret", hashed)


def test_a_weaker_hash_of_our_own_is_to_be_made_anew() -> None:
    from argon2 import PasswordHasher

    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=8192).hash("secret"))


def test_a_made_up_password_has_no_character_that_looks_like_another() -> None:
    made = {generate_password() for _ in range(50)}
    assert len(made) == 50
    assert not set("".join(made)) & set("0O1lI")


def test_without_a_hash_the_same_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted at Argon2 itself: one comparison each, and the one hash to compare with is made beforehand for both."""
    done: list[str] = []
    real = passwords.verify_password

    def counted(password: str, password_hash: str) -> bool:
        done.append(password_hash.partition("$v=")[2].partition("$")[2].partition("$")[0])
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "verify_password", counted)
    work = Hashing()

    async def both() -> tuple[bool, bool]:
        return await work.verify("wrong", hash_password("right")), await work.verify("wrong", None)

    assert asyncio.run(both()) == (False, False)
    assert done == ["m=65536,t=3,p=4"] * 2
    work.close()


def held_up(work: Hashing, release: threading.Event, running: list[int]) -> Callable[[], None]:
    lock = threading.Lock()
    now = [0]

    def task() -> None:
        with lock:
            now[0] += 1
            running.append(now[0])
        release.wait(30)
        with lock:
            now[0] -= 1

    return task


def test_a_flood_is_hashed_a_few_at_once_and_the_rest_is_told_to_come_back() -> None:
    work, release, running = Hashing(), threading.Event(), list[int]()
    task = held_up(work, release, running)

    async def flood() -> None:
        asked = [asyncio.create_task(work._run(task)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Busy) as refused:
            await work.hash("one too many")
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        # Clients that go away do not make room: their threads work on.
        for gone in asked[: MOST_WAITING // 2]:
            gone.cancel()
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await work.hash("still one too many")
        release.set()
        await asyncio.gather(*asked, return_exceptions=True)
        while work.waiting:  # noqa: ASYNC110 -- threads have no event
            await asyncio.sleep(0.01)
        assert await work.verify("secret", OLD)

    asyncio.run(flood())
    assert len(running) == MOST_WAITING
    assert max(running) <= AT_ONCE
    assert hashing.AT_ONCE * 64 <= 256, "megabytes"
    work.close()
