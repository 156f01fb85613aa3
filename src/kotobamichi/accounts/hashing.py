"""Password work beside the event loop: a few at once, the rest in a queue that has an end."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kotobamichi.accounts import passwords
from kotobamichi.errors import Busy

Result = TypeVar("Result")

# Each takes 64 MiB while it runs, so a flood of logins takes this many times that and no more.
AT_ONCE = 4
# About ten seconds of work on one slow core: whoever comes later would have gone before the answer.
MOST_WAITING = 100


class Hashing:
    """Hashes and verifies passwords in threads of its own. Raises Busy where the queue is full."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hashing")
        self.waiting = 0
        # The hash of a password that nobody has.
        self.dummy = functools.cache(lambda: passwords.hash_password(passwords.generate_password()))

    async def hash(self, password: str) -> str:
        return await self._run(lambda: passwords.hash_password(password))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is right. Without a hash to compare with it is not, and finding that out takes the same work."""
        return await self._run(lambda: self._verify(password, password_hash))

    def _verify(self, password: str, password_hash: str | None) -> bool:
        dummy = self.dummy()  # made at the first comparison, whichever that is, so that making it tells nothing
        matches = passwords.verify_password(password, password_hash or dummy)
        return matches and password_hash is not None

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self.waiting >= MOST_WAITING:
            raise Busy("Too many logins at once. Try again in a moment.")
        self.waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self.threads, work)
        # Counted until the thread is done: a client that goes away does not stop it.
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, _future: object) -> None:
        self.waiting -= 1

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
