"""What an image's labels say of the code in it, as NAME=value lines that become build arguments.

    PYTHONPATH=src python3 scripts/image_facts.py src/kotobamichi/migrations

VERSION is the code's version, SCHEMA_HEAD the newest migration, SCHEMA_FLOOR the compatibility floor: the oldest migration that an
app must know to survive them all, `any` where no migration breaks an older app. A label cannot be computed inside a
Dockerfile, so the values come from outside; with --check, inside the build, a value that contradicts the code is refused.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from michi import __version__
from michi.folder import Folder, read_folder

UNKNOWN = "unknown"


def schema_floor(folder: Folder) -> str:
    breaking = [migration for migration in folder.migrations if migration.directives.phase == "contract"]
    return max((migration.directives.safe_from or migration.name for migration in breaking), default="any")


def read_facts(migrations: Path) -> dict[str, str]:
    folder = read_folder(migrations)
    folder.check_sum()
    return {"VERSION": __version__, "SCHEMA_HEAD": folder.head or "none", "SCHEMA_FLOOR": schema_floor(folder)}


def main() -> None:
    *options, path = sys.argv[1:]
    facts = read_facts(Path(path))
    if options != ["--check"]:
        sys.stdout.writelines(f"{name}={value}\n" for name, value in facts.items())
        return
    for name, value in facts.items():
        given = os.environ.get(name, UNKNOWN)
        if given not in {value, UNKNOWN}:
            sys.exit(
                f"The build argument {name} is {given}, but the code says {value}. `make images` passes the right one."
            )


if __name__ == "__main__":
    main()
