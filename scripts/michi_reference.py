"""Writes docs/reference/michi.md from the commands themselves, so that it is never out of date.

python scripts/michi_reference.py            # writes the file
python scripts/michi_reference.py --check    # exit 1 where the file is not what it would write
"""

from __future__ import annotations

import sys
from pathlib import Path

from michi.cli import commands
from michi.command import Entry, Option

DOCUMENT = Path(__file__).parents[1] / "docs" / "reference" / "michi.md"
# What a verb is for decides where it stands; one that is not named here stands in the last group.
GROUPS: dict[str, tuple[str, ...]] = {
    "Deploying": ("deploy", "plan", "status", "check", "wait", "rollback"),
    "Developing": ("dev", "new", "diff", "lint", "verify", "rebase", "sum", "reset"),
    "Looking and repairing": (),
}
HEAD = """\
<!-- Written by scripts/michi_reference.py from the commands; `make reference` writes it anew. -->

# Commands of michi

Every command reads the database from `MIGRATION_DATABASE_URL`, `DATABASE_URL`, `DATABASE_HOST/PORT/NAME/USER/PASSWORD` (each also
as `..._FILE`) or `DATABASE_SECRET_DIR`, and project settings from `[tool.michi]` of `pyproject.toml` in the current folder:

| setting | what | also |
|---|---|---|
| `migrations` | the migrations folder (default: `migrations`) | `--migrations`, `MICHI_MIGRATIONS` |
| `models` | where the SQLAlchemy MetaData is, as `module:name` | `--models`, `MICHI_MODELS` |
| `seed` | the command that `michi reset` runs on the new schema; it finds the database in `PGHOST` and its kin | |
| `known` | names of settings that hold the URLs of other databases, which `michi dev` asks whether a table is empty | |

`SHADOW_DATABASE_URL` names an empty database for `dev`, `diff`, `verify` and `baseline` to work in, where the role may not create
one. Exit codes and error codes are in [events.md](events.md), the facts of `--json` there too for `deploy` and `wait`.
"""


def reference() -> str:
    """The whole document."""
    placed = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in commands.entries if name not in placed)
    parts = [HEAD]
    for group, names in GROUPS.items():
        listed = [name for name in (names or rest) if name in commands.entries]
        parts.append(f"## {group}\n")
        parts += [section(name, commands.entries[name]) for name in listed]
    return "\n".join(parts)


def section(name: str, entry: Entry) -> str:
    options = entry.options
    positional = [spelling(option) for option in options if not option.names[0].startswith("-")]
    lines = [f"### michi {' '.join([name, *positional])}", "", entry.help, "", "| option | meaning |", "|---|---|"]
    lines += [f"| `{spelling(option)}` | {meaning(option)} |" for option in options]
    return "\n".join([*lines, ""])


def spelling(option: Option) -> str:
    names, settings = ", ".join(option.names), option.settings
    if not names.startswith("-"):
        return str(settings.get("metavar", names.upper()))
    if settings.get("action") in {"store_true", "store_false"}:
        return names
    choices = settings.get("choices")
    return f"{names} {settings.get('metavar') or (chr(92) + '|').join(choices or ()) or 'VALUE'}"


def meaning(option: Option) -> str:
    text = str(option.settings.get("help", "")).replace("|", "\\|").replace("%%", "%")
    return f"{text[:1].upper()}{text[1:]}." + (" Required." if option.settings.get("required") else "")


def main() -> int:
    wanted = reference()
    if "--check" in sys.argv:
        if DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == wanted:
            return 0
        sys.stderr.write(f"{DOCUMENT.name} is not what the commands say; `make reference` writes it anew.\n")
        return 1
    DOCUMENT.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
