"""Repairs the ledger when a person knows what michi cannot see. Every repair is a row of its own; nothing is erased."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from michi import ledger
from michi.database import Server
from michi.errors import Refused, UsageError
from michi.events import Emit
from michi.folder import Folder, Migration
from michi.ledger import Attempt, Origin, Verdict
from michi.lock import deploy_lock
from michi.plan import STANDING, compare

Repair = Literal["applied", "rolled-back", "accept-edit"]


@dataclass(frozen=True)
class Repaired:
    """What was done, as a sentence; `changed` is False where the ledger said so already."""

    migration: str
    changed: bool
    sentence: str


def resolve(
    server: Server,
    folder: Folder,
    origin: Origin,
    repair: Repair,
    name: str,
    *,
    force: bool,
    lock_timeout_seconds: float,
    emit: Emit,
) -> Repaired:
    """Settles one migration, under the deploy lock.

    Raises UsageError for a migration that is not known, Refused for what would contradict the ledger.
    """
    found = ledger.read_ledger(server.connection, server.target.schema)
    if not found.exists:
        raise UsageError(
            f"michi has never deployed to the schema {server.target.schema}, so there is nothing to resolve.",
            "Run `michi deploy`, or `michi baseline` for a database that exists already.",
        )
    with deploy_lock(server, lock_timeout_seconds, emit):
        found = ledger.read_ledger(server.connection, server.target.schema)
        ledger.check_writable(server.connection, server.target.schema)
        last = compare(folder, found).last.get(name)
        migration = folder.find(name)
        with server.connection.transaction():
            match repair:
                case "applied":
                    return _mark_applied(server, migration, last, name, origin)
                case "rolled-back":
                    return _mark_rolled_back(server, migration, last, name, origin, force=force)
                case "accept-edit":
                    return _accept_edit(server, migration, last, name, origin)


def _mark_applied(
    server: Server, migration: Migration | None, last: Attempt | None, name: str, origin: Origin
) -> Repaired:
    migration = _in_folder(migration, name)
    if last is not None and last.verdict == "baselined":
        return Repaired(name, False, f"{name} is marked as applied already.")
    if last is not None and last.verdict == "applied":
        raise Refused(
            f"{name} is applied already.", "There is nothing to resolve; `michi status` shows what is pending."
        )
    _record(server, migration, last, origin, "baselined", "marked as applied by michi resolve")
    return Repaired(name, True, f"{name} is marked as applied. Nothing was run.")


def _mark_rolled_back(
    server: Server, migration: Migration | None, last: Attempt | None, name: str, origin: Origin, *, force: bool
) -> Repaired:
    if last is None:
        raise UsageError(f"The ledger knows no {name}.", "`michi history` lists what it knows.")
    if last.verdict in {"rolled_back", "undone"}:
        return Repaired(name, False, f"{name} counts as not applied already.")
    if last.verdict in STANDING and not force:
        raise Refused(
            f"{name} is applied; marking it as rolled back would not undo it.",
            "If it was undone by hand, say so with --force.",
        )
    ledger.close_attempt(server.connection, server.target.schema, last.id)
    ledger.copy_attempt(
        server.connection,
        server.target.schema,
        last.id,
        origin,
        "rolled_back",
        "marked as rolled back by michi resolve",
    )
    here = "The next deploy applies it again." if migration is not None else "It is not in the folder."
    return Repaired(name, True, f"{name} is marked as rolled back. {here}")


def _accept_edit(
    server: Server, migration: Migration | None, last: Attempt | None, name: str, origin: Origin
) -> Repaired:
    migration = _in_folder(migration, name)
    if last is None or last.verdict not in STANDING:
        raise Refused(f"{name} is not applied, so its file may be changed freely.", "Run `michi sum`, then deploy.")
    if last.checksum == migration.checksum:
        return Repaired(name, False, f"{name} is as it was applied.")
    _record(server, migration, last, origin, "baselined", f"edit accepted, the checksum was {last.checksum}")
    return Repaired(name, True, f"The edited file of {name} is accepted. Nothing was run.")


def _in_folder(migration: Migration | None, name: str) -> Migration:
    if migration is None:
        raise UsageError(f"There is no migration {name} in the folder.", "Give the whole name of its folder.")
    return migration


def _record(
    server: Server, migration: Migration, last: Attempt | None, origin: Origin, verdict: Verdict, note: str
) -> None:
    schema = server.target.schema
    if last is not None:
        ledger.close_attempt(server.connection, schema, last.id)
    ledger.insert_attempt(
        server.connection, schema, migration, origin,
        verdict=verdict, total=0, done=0, duration_ms=0, error={"note": note},
    )  # fmt: skip
