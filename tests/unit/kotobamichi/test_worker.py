"""A worker hears a signal to stop from its first moment."""

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
