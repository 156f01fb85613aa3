"""The `michi` command as a process of its own: `python -m michi`, and the script that the distribution installs.

Most of a no-op deploy is importing, and a tenth of it was the garbage collector looking through modules that stay: it is off while
they are imported. What goes on for long turns it on (see cli.py). At its end the process does not take its modules apart again:
what it has said is written, its connections are closed, and the system takes back the rest at once.
"""

import gc
import os
import signal
import sys

gc.disable()
# Ctrl-C while importing ends the process at once and in silence; whoever runs a command catches it (see command.py).
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from typing import NoReturn  # noqa: E402

from michi.cli import main as call  # noqa: E402


def main() -> NoReturn:
    """Leaves with the command's exit code."""
    try:
        call()
    except SystemExit as end:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:  # nobody reads, or the disk is full: Python says so in its own way
            raise end from None
        if isinstance(end.code, int):
            os._exit(end.code)
        raise


if __name__ == "__main__":
    main()
