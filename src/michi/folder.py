"""The migrations on disk: their order, hashes, header directives and michi.sum. What they do is in sql.py."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from michi.errors import (
    ConfigurationInvalid,
    DirectiveInvalid,
    FolderInvalid,
    MigrationUnfinished,
    SumMismatch,
    UsageError,
)
from michi.settings import parse_duration

Phase = Literal["expand", "contract"]

NAME = re.compile(r"\d{14}_[a-z0-9][a-z0-9_]*")
FILES = frozenset({"up.sql", "down.sql", "verify.sql"})
SUM_FILE = "michi.sum"
# Where `michi dev` cannot know what rows that exist shall hold, and the author has to say it.
FILL_IN = "/* FILL IN */"
SUM_HEADER = "michi.sum 1"
DIRECTIVE = re.compile(r"\s*--\s*michi:\s*(?P<key>[a-z_-]+)\s*=\s*(?P<value>.*?)\s*")
DIRECTIVE_ATTEMPT = re.compile(r"\s*--\s*michi\s*:", re.IGNORECASE)
IGNORED = re.compile(r"(?P<rule>[a-z][a-z0-9-]*)\s+because\s+(?P<reason>\S.*)")
DEFAULT_LOCK_TIMEOUT_SECONDS = 3.0
LARGEST_BATCH = 1_000_000
LONGEST_TIMEOUT_SECONDS = 24 * 86400.0  # PostgreSQL counts milliseconds in 31 bits
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Directives:
    """What the comment lines at the top of up.sql say.

    `transaction` and `lock_timeout_seconds` are None where nothing is said, `safe_from` for "only apps that know this
    migration survive it"; a timeout of 0 is none. `backfill_rows` is how many rows one transaction of a backfill looks at, at
    most; its pause is None where it follows the batches. `ignored` maps a rule of `michi lint` to the reason given.
    """

    transaction: bool | None = None
    phase: Phase = "expand"
    safe_from: str | None = None
    lock_timeout_seconds: float | None = None
    statement_timeout_seconds: float = 0.0
    backfill_rows: int | None = None
    backfill_pause_seconds: float | None = None
    ignored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Migration:
    """One folder `<YYYYMMDDHHMMSS>_<slug>`. `files` maps a file's name to its bytes with CRLF read as LF."""

    name: str
    path: Path
    files: dict[str, bytes]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of up.sql, hex: what the ledger remembers as having been run."""
        return hashlib.sha256(self.files["up.sql"]).hexdigest()

    @cached_property
    def up_sql(self) -> str:
        return decode(self.files["up.sql"], self.path / "up.sql")

    @cached_property
    def verify_sql(self) -> str | None:
        return decode(self.files["verify.sql"], self.path / "verify.sql") if "verify.sql" in self.files else None

    @cached_property
    def directives(self) -> Directives:
        """Raises DirectiveInvalid, naming the line."""
        return read_directives(self.up_sql, self.path / "up.sql", self.name)

    def check_finished(self) -> None:
        """Raises MigrationUnfinished, with the line, where the author has still to say something."""
        if (position := self.up_sql.find(FILL_IN)) >= 0:
            line = self.up_sql.count("\n", 0, position) + 1
            raise MigrationUnfinished(
                f"{self.path / 'up.sql'}, line {line}: {FILL_IN} still stands there.",
                "Say in its place what the column is in rows that exist, then run the command again.",
                migration=self.name,
                line=line,
            )


@dataclass(frozen=True)
class Folder:
    """All migrations in byte order of their names. `sum_lines` is None where there is no michi.sum."""

    path: Path
    migrations: tuple[Migration, ...]
    sum_lines: tuple[str, ...] | None

    @property
    def head(self) -> str | None:
        return self.migrations[-1].name if self.migrations else None

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(migration.name for migration in self.migrations)

    def find(self, name: str) -> Migration | None:
        return next((migration for migration in self.migrations if migration.name == name), None)

    def check_sum(self) -> None:
        """Raises SumMismatch at the first migration whose files are not those in michi.sum; passes without the file."""
        if self.sum_lines is None:
            return
        remedy = "If the change is meant, run `michi sum` and commit the result; if not, restore the file."
        for expected, found in zip(sum_lines(self.migrations), self.sum_lines, strict=False):
            if expected != found:
                name = expected.split(" ")[0]
                if expected == SUM_HEADER:
                    raise SumMismatch(f"{SUM_FILE} does not begin with '{SUM_HEADER}'.", remedy)
                raise SumMismatch(
                    f"The files of {name} are not the ones that {SUM_FILE} lists.", remedy, migration=name
                )
        listed, there = len(self.sum_lines), len(self.migrations) + 1
        if listed < there:
            name = self.migrations[listed - 1].name if listed else "the header"
            raise SumMismatch(f"{SUM_FILE} does not list {name}.", remedy, migration=name)
        if listed > there:
            name = self.sum_lines[there].split(" ")[0]
            raise SumMismatch(f"{SUM_FILE} lists {name}, which is not in the folder.", remedy, migration=name)


def read_folder(path: Path) -> Folder:
    """Reads every migration below `path`. Loose files and names that begin with a dot or underscore are passed over.

    Raises UsageError where the folder is absent, FolderInvalid where an entry is no migration.
    """
    try:
        with os.scandir(path) as found:
            entries = [entry.name for entry in found if entry.name[0] not in "._" and entry.is_dir()]
    except FileNotFoundError:
        raise UsageError(
            f"There is no migrations folder at {path}.", "Pass --migrations, or set MICHI_MIGRATIONS."
        ) from None
    except OSError as error:
        raise UsageError(
            f"The migrations folder {path} cannot be read: {error.strerror}.", "Check its permissions."
        ) from None
    migrations = tuple(_read_migration(path / name) for name in sorted(entries, key=os.fsencode))
    sum_file = path / SUM_FILE
    return Folder(path, migrations, _read_sum(sum_file) if sum_file.is_file() else None)


def _read_sum(path: Path) -> tuple[str, ...]:
    """Its lines, ended by LF or CRLF and by nothing else that Python's splitlines would take for a line's end."""
    try:
        text = path.read_bytes().replace(b"\r\n", b"\n").decode("utf-8", "backslashreplace")
    except OSError as error:
        raise FolderInvalid(f"{path} cannot be read: {error.strerror}.", "Check the file.") from None
    return tuple(text.removesuffix("\n").split("\n"))


def _read_migration(path: Path) -> Migration:
    files: dict[str, bytes] = {}
    there = ""
    try:
        for name in sorted(FILES.intersection(os.listdir(path))):  # noqa: PTH208 -- names only, of a thousand folders
            there = f"{path}/{name}"
            with open(there, "rb") as file:  # noqa: PTH123
                files[name] = file.read().replace(b"\r\n", b"\n")
    except OSError as error:
        raise FolderInvalid(f"{there or path} cannot be read: {error.strerror}.", "Check the file.") from None
    if "up.sql" not in files:
        raise FolderInvalid(f"{path} holds no up.sql.", "Add the file, or remove the folder.", migration=path.name)
    if not NAME.fullmatch(path.name):
        raise FolderInvalid(
            f"{path.name} is not a migration's name.",
            "Name the folder <YYYYMMDDHHMMSS>_<slug>, the slug of a-z, 0-9 and underscores.",
            migration=path.name,
        )
    return Migration(path.name, path, files)


def decode(content: bytes, path: Path) -> str:
    """Text of a SQL file: UTF-8, a byte order mark dropped. Raises FolderInvalid with the line of what is not text."""
    content = content.removeprefix(BOM)
    if (nul := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, nul) + 1
        raise FolderInvalid(
            f"{path}, line {line}: a NUL byte.", "PostgreSQL takes none; save the file as text.", line=line
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FolderInvalid(f"{path}, line {line}: not UTF-8.", "Save the file as UTF-8.", line=line) from None


def read_directives(text: str, path: Path, name: str) -> Directives:
    """Reads `-- michi: key = value` from the comment lines before the first statement."""
    found: dict[str, str] = {}
    ignored: dict[str, str] = {}
    in_header = True
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        in_header = in_header and (not stripped or stripped.startswith("--"))
        if not in_header and "michi" not in line:
            continue
        match = DIRECTIVE.fullmatch(line)
        if match is None or match["key"] not in KEYS:
            if in_header and DIRECTIVE_ATTEMPT.match(line):
                raise _bad_directive(
                    path,
                    number,
                    "not a directive",
                    f"Known are {', '.join(sorted(KEYS))}, as in `-- michi: phase = contract`.",
                )
            continue
        if not in_header:
            raise _bad_directive(
                path, number, "a directive after the first statement", "Move it to the top of the file."
            )
        if match["key"] == "ignore":
            rule, reason = _ignored_rule(match["value"], path, number)
            ignored[rule] = reason
            continue
        if match["key"] in found:
            raise _bad_directive(path, number, f"{match['key']} is given twice", "Keep one of them.")
        _check_value(match["key"], match["value"], path, number)
        found[match["key"]] = match["value"]
    if "safe-from" in found and found.get("phase") != "contract":
        raise _bad_directive(
            path, 1, "safe-from without `phase = contract`", "An expand migration is safe for every app."
        )
    if found.get("safe-from", "") > name:
        raise _bad_directive(path, 1, "safe-from names a later migration", "Name this migration or an earlier one.")
    _check_backfill(found, path)
    pause = found.get("backfill_pause")
    return Directives(
        transaction={"on": True, "off": False}[found["transaction"]] if "transaction" in found else None,
        phase="contract" if found.get("phase") == "contract" else "expand",
        safe_from=found.get("safe-from"),
        lock_timeout_seconds=parse_duration(found["lock_timeout"], "lock_timeout") if "lock_timeout" in found else None,
        statement_timeout_seconds=parse_duration(found.get("statement_timeout", "0s"), "statement_timeout"),
        backfill_rows=int(found["backfill"]) if "backfill" in found else None,
        backfill_pause_seconds=parse_duration(pause, "backfill_pause") if pause is not None else None,
        ignored=ignored,
    )


KEYS = frozenset(
    {"transaction", "phase", "safe-from", "lock_timeout", "statement_timeout", "backfill", "backfill_pause", "ignore"}
)
CHOICES = {"transaction": ("on", "off"), "phase": ("expand", "contract")}


def _check_value(key: str, value: str, path: Path, line: int) -> None:
    if key in CHOICES and value not in CHOICES[key]:
        raise _bad_directive(path, line, f"{key} = {value!r}", f"It is one of {' and '.join(CHOICES[key])}.")
    if key == "safe-from" and not NAME.fullmatch(value):
        raise _bad_directive(path, line, "safe-from does not name a migration", "Name the folder of a migration.")
    if key == "backfill" and not (value.isascii() and value.isdigit() and 0 < int(value) <= LARGEST_BATCH):
        raise _bad_directive(
            path, line, f"backfill = {value!r}", f"Say how many rows a batch has: 1 to {LARGEST_BATCH}."
        )
    if key.endswith(("timeout", "pause")):
        try:
            seconds = parse_duration(value, key)
        except ConfigurationInvalid as error:
            raise _bad_directive(path, line, f"{key} = {value!r}", error.remedy) from None
        if seconds > LONGEST_TIMEOUT_SECONDS:
            raise _bad_directive(path, line, f"{key} = {value!r}", "PostgreSQL takes at most 24 days; 0s means none.")


def _check_backfill(found: Mapping[str, str], path: Path) -> None:
    if "backfill" in found and found.get("transaction") == "on":
        raise _bad_directive(
            path, 1, "transaction = on with a backfill", "A backfill commits batch by batch; remove it."
        )
    if "backfill_pause" in found and "backfill" not in found:
        raise _bad_directive(path, 1, "backfill_pause without `backfill`", "Say `-- michi: backfill = 10000` too.")


def _ignored_rule(value: str, path: Path, line: int) -> tuple[str, str]:
    match = IGNORED.fullmatch(value)
    if match is None:
        raise _bad_directive(
            path, line, "an ignore without a reason", "Write `-- michi: ignore = <rule> because <reason>`."
        )
    return match["rule"], match["reason"]


def _bad_directive(path: Path, line: int, what: str, remedy: str) -> DirectiveInvalid:
    return DirectiveInvalid(f"{path}, line {line}: {what}.", remedy, file=str(path), line=line)


def sum_lines(migrations: Sequence[Migration]) -> list[str]:
    """The lines that michi.sum should hold: each hash covers the migration's files and the line before it."""
    lines = [SUM_HEADER]
    for migration in migrations:
        digest = hashlib.sha256(lines[-1].encode())
        for name, content in sorted(migration.files.items()):
            digest.update(f"\n{name} {hashlib.sha256(content).hexdigest()}".encode())
        lines.append(f"{migration.name} sha256:{digest.hexdigest()}")
    return lines


def write_sum(folder: Folder) -> bool:
    """Brings michi.sum up to date with the files; says whether it changed."""
    lines = sum_lines(folder.migrations)
    if folder.sum_lines == tuple(lines):
        return False
    (folder.path / SUM_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return True
