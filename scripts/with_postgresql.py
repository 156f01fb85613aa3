"""Runs a command with DATABASE_URL of an embedded PostgreSQL that lives as long as the command.

    python scripts/with_postgresql.py michi verify

Where DATABASE_URL is set already, that is used and nothing is started.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kotobamichi import embedded
from kotobamichi.account import server_account


def main() -> int:
    if os.environ.get("DATABASE_URL"):
        return subprocess.run(sys.argv[1:], check=False).returncode
    folder = Path(tempfile.mkdtemp(prefix="michi-", dir="/tmp"))  # a short path, for the socket
    try:
        server_account().give(folder)
        with embedded.running(folder / "postgresql") as url:
            return subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
