"""A worker hears a signal to stop from its first moment, and once."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own, because what is registered for forks stays.
FORKS = """
import multiprocessing, signal, time
from kotobamichi.worker import hear_stops_from_the_start

heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
hear_stops_from_the_start()
context = multiprocessing.get_context("fork")
for _ in range(50):
    worker = context.Process(target=time.sleep, args=(60,))
    worker.start()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == -signal.SIGTERM, worker.exitcode
signal.raise_signal(signal.SIGTERM)
assert heard == [1]
"""


def test_a_worker_that_was_just_forked_ends_by_the_signal() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


STOPS_WHILE_IT_STANDS = """
import asyncio, signal
import uvloop
from kotobamichi.worker import hear_one_stop

async def main():
    async with asyncio.timeout(10):
        await stopped.wait()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    await asyncio.sleep(0.1)

heard = []
loop = uvloop.new_event_loop()
hear_one_stop(loop)
stopped = asyncio.Event()
for number in (signal.SIGINT, signal.SIGTERM):
    loop.add_signal_handler(number, lambda *given: (heard.append(given), loop.call_soon_threadsafe(stopped.set)), number)
loop.run_until_complete(asyncio.sleep(0))
signal.raise_signal(signal.SIGTERM)
loop.run_until_complete(main())
assert heard == [(signal.SIGTERM,)], heard
"""


def test_a_loop_that_does_not_run_yet_hears_the_first_signal_and_no_other() -> None:
    script = [sys.executable, "-c", STOPS_WHILE_IT_STANDS]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
