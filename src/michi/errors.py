"""What can go wrong, as facts: each error carries a stable code, the exit code of its family, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class MichiError(Exception):
    """A fact that stops michi: one sentence that says what is wrong, and one that says what to do.

    `listing` are lines for people where there is more than one thing, `details` the same facts as data, for `--json`. `brief` is
    for people who have just been shown the facts: what an event has told them is not told again. No text here may hold a URL or a
    password.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str = "", *, listing: Sequence[str] = (), **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.listing = listing
        self.details = details
        self.brief = ""

    def as_text(self, program: str) -> str:
        """For people: what is wrong, the code, what is listed, and on a line of its own what to do."""
        margin = f"\n{' ' * len(program)}  "
        listed = "".join(f"{margin}  {line}" for line in self.listing)
        remedy = f"{margin}{self.remedy}" if self.remedy else ""
        return f"{program}: {self.brief or self.message} [{self.code}]{listed}{remedy}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "exit_code": self.exit_code,
            "message": self.message,
            "remedy": self.remedy,
            **({"details": self.details} if self.details else {}),
        }


# 2: the command or its configuration


class UsageError(MichiError):
    code = "usage"
    exit_code = 2


class ConfigurationInvalid(UsageError):
    code = "configuration.invalid"


class ConfigurationMissing(UsageError):
    code = "configuration.missing"


class ConfigurationAmbiguous(UsageError):
    code = "configuration.ambiguous"


class CredentialsRejected(UsageError):
    code = "database.credentials"


class PrivilegeMissing(UsageError):
    code = "database.privilege"


# 3 and 4: what `check` finds


class MigrationsPending(MichiError):
    code = "schema.pending"
    exit_code = 3


class ImageTooOld(MichiError):
    code = "schema.too_old"
    exit_code = 4


# 5 and 6: a retry helps


class LockBusy(MichiError):
    code = "lock.busy"
    exit_code = 5


class TableLocked(LockBusy):
    code = "lock.table"


class DatabaseUnreachable(MichiError):
    code = "database.unreachable"
    exit_code = 6


class DatabaseAbsent(DatabaseUnreachable):
    code = "database.absent"


class DatabaseReadOnly(DatabaseUnreachable):
    code = "database.read_only"


class ConnectionLost(DatabaseUnreachable):
    code = "database.connection_lost"


# 7: folder and ledger do not agree, or a migration failed


class FolderInvalid(MichiError):
    code = "folder.invalid"
    exit_code = 7


class DirectiveInvalid(FolderInvalid):
    code = "folder.directive"


class SumMismatch(FolderInvalid):
    code = "sum.mismatch"


class SqlInvalid(FolderInvalid):
    code = "sql.invalid"


class SqlNotInTransaction(SqlInvalid):
    code = "sql.not_in_transaction"


class SqlTransactionControl(SqlInvalid):
    code = "sql.transaction_control"


class BackfillInvalid(SqlInvalid):
    code = "sql.backfill"


class HistoryError(MichiError):
    code = "history.diverged"
    exit_code = 7


class HistoryEdited(HistoryError):
    code = "history.edited"


class HistoryMissing(HistoryError):
    code = "history.missing"


class HistoryOutOfOrder(HistoryError):
    code = "history.out_of_order"


class BaselineNeeded(HistoryError):
    code = "baseline.needed"


class LedgerTooNew(HistoryError):
    code = "ledger.too_new"


class MigrationFailed(HistoryError):
    code = "migration.failed"


class StatementInDoubt(HistoryError):
    code = "migration.in_doubt"


# Authoring: what `dev`, `diff`, `baseline`, `rollback`, `reset` and `verify` find


class AuthoringMissing(UsageError):
    code = "authoring.missing"


class ModelsInvalid(UsageError):
    code = "models.invalid"


class ShadowFailed(HistoryError):
    code = "shadow.failed"


class NotInSync(HistoryError):
    code = "dev.not_in_sync"


class CannotWrite(HistoryError):
    code = "dev.cannot_write"


class MigrationUnfinished(HistoryError):
    code = "migration.unfinished"


class BaselineDiffers(HistoryError):
    code = "baseline.differs"


class DownMissing(HistoryError):
    code = "rollback.no_down"


class SeedFailed(HistoryError):
    code = "seed.failed"


# 8: refused for safety


class Refused(MichiError):
    code = "refused"
    exit_code = 8


class PoolerDetected(Refused):
    code = "pooler.detected"


class AppsTooOld(Refused):
    code = "apps.too_old"


class ExpandPending(Refused):
    code = "phase.expand_pending"


class RenameUndecided(Refused):
    code = "rename.undecided"


class DataLoss(Refused):
    code = "data.loss"


class ProductionProtected(Refused):
    code = "production.protected"


# 130 and 143: KeyboardInterrupt's family, because psycopg cancels the running statement when it sees one


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: what Ctrl-C does, with another exit code."""
