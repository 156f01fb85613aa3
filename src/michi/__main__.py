"""The `michi` command as a process of its own: `python -m michi`, and the script that the distribution installs.

Most of a no-op deploy is importing, and a tenth of it was the garbage collector looking through modules that stay: it is off while
they are imported, and is not asked about them when the process ends. What goes on for long turns it on (see cli.py).
"""

import gc

gc.disable()

from typing import NoReturn  # noqa: E402

from michi.cli import main as call  # noqa: E402


def main() -> NoReturn:
    """Leaves with the command's exit code."""
    try:
        call()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
