"""Splits a script into statements and says how each must run. PostgreSQL's own parser decides; nothing is executed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from michi.errors import SqlInvalid, SqlNotInTransaction, SqlTransactionControl

Kind = Literal["plain", "alone", "concurrent_index", "concurrent_drop"]

# Which statements are worth a full parse: PostgreSQL may refuse them inside a transaction, or michi refuses them. A CREATE, DROP or
# ALTER is among them only with one of these key words, which SQL has no other way to write; most migrations are spared the parse.
# `alone` is refused by PostgreSQL in a transaction block; so are the concurrent kinds, whose effect the catalogue can tell.
WORTH_PARSING = re.compile(
    r"(?:reindex|vacuum|cluster|begin|start|commit|end|rollback|abort|savepoint|release|prepare|copy|call|do)\b"
    r"|(?:create|drop|alter)\b(?=.*\b(?:concurrently|database|tablespace|subscription|system|detach)\b)",
    re.IGNORECASE | re.DOTALL,
)
COMMITS = re.compile(r"\b(?:commit|rollback)\b", re.IGNORECASE)
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
TAG_BEYOND_ASCII = re.compile(r"\$[^\s$]*[^\x00-\x7f$][^\s$]*\$")
# A script that can be cut at its semicolons by looking at it, as most can, and spares the 25 ms of importing PostgreSQL's parser:
# no dollar, no backslash, no block comment, and neither of the two bodies that hold semicolons of their own.
PIECE = re.compile(r"""(?:[^'"$\\;/-]++|'[^'\\]*+'|"[^"\\]*+"|--[^\n]*+|-(?!-)|/(?!\*))*+""")
HOLDS_SEMICOLONS = re.compile(r"\b(?:atomic|rule)\b", re.IGNORECASE)
QUOTED = re.compile(r"""'[^']*+'|"[^"]*+"|--[^\n]*+""")
PLAIN_CHARACTERS = 100_000  # where much is to be split, the import is little
WHITE_SPACE = " \t\n\r\f\v"  # PostgreSQL's; Python knows more
BLANK = re.compile(r"\s+", re.ASCII)
LINE_COMMENT = re.compile(r"--[^\n]*\n?")


@dataclass(frozen=True)
class Statement:
    """One statement of a script. `line` counts from 1; `schema` and `index_name` belong to a concurrent index.

    `parsed` is False where the script has a syntax error: then it may be less, or more, than one statement.
    """

    text: str
    line: int
    kind: Kind = "plain"
    schema: str | None = None
    index_name: str | None = None
    repeatable: bool = False
    commits: bool = False
    parsed: bool = True


def split(script: str, path: Path) -> list[Statement]:
    """The statements of `script`, in order, without those that are only comments.

    Raises SqlInvalid for what only psql understands, SqlTransactionControl for BEGIN, COMMIT and their like. A syntax
    error is no error here: the statement is passed on, and the server says what is wrong with it.
    """
    statements = []
    line, counted = 1, 0
    slices, parsed = _slices(script, path)
    for start, end in slices:
        start += leading_blank(script[start:end])  # noqa: PLW2901
        if start >= end:
            continue
        line += script.count("\n", counted, start)
        counted = start
        statement = _classify(script[start:end].rstrip(WHITE_SPACE), line, path)
        statements.append(statement if parsed else replace(statement, parsed=False))
    return statements


def leading_blank(text: str) -> int:
    """How many characters of white space and comments stand before the first token."""
    position = 0
    while position < len(text):
        if (match := BLANK.match(text, position) or LINE_COMMENT.match(text, position)) is not None:
            position = match.end()
        elif text.startswith("/*", position):
            position = _end_of_block_comment(text, position)
        else:
            break
    return position


def _end_of_block_comment(text: str, position: int) -> int:
    """PostgreSQL's block comments nest."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, position):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def in_ascii(script: str) -> str:
    """The same script for the parser, with a letter for every character beyond ASCII, which it takes for letters anyway.

    pglast turns its byte positions into positions of characters one by one, which takes minutes in a large Japanese script. A
    dollar quote's tag stays as it is: two of them might become the same.
    """
    if script.isascii() or TAG_BEYOND_ASCII.search(script):
        return script
    return BEYOND_ASCII.sub("x", script)


def _slices(script: str, path: Path) -> tuple[list[tuple[int, int]], bool]:
    """Where each statement begins and ends, and whether PostgreSQL's parser said so: it cannot where there is a syntax error."""
    if (plain := _plain_slices(script)) is not None:
        return plain, True
    from pglast import parser  # noqa: PLC0415 -- see PIECE

    if leading_blank(script) >= len(script):
        return [], True
    script = in_ascii(script)
    try:
        return [(item.start, item.stop) for item in parser.split(script, with_parser=True, only_slices=True)], True
    except parser.ParseError as error:
        _refuse_psql(script, error, path)
    try:
        tokens = [(token.name, token.start) for token in parser.scan(script)]
        return _slices_between_semicolons(tokens, len(script)), False
    except parser.ParseError:  # not even tokens, as in an unterminated string: the server shall name the place
        return [(0, len(script))], False


def _plain_slices(script: str) -> list[tuple[int, int]] | None:
    """What lies between the semicolons of a plain script; None for one that takes a parser to say."""
    if len(script) > PLAIN_CHARACTERS or HOLDS_SEMICOLONS.search(script):
        return None
    slices, start = [], 0
    while start < len(script):
        match = PIECE.match(script, start)
        assert match is not None  # it matches nothing, too
        end = match.end()
        if end < len(script) and script[end] != ";":
            return None
        bare = QUOTED.sub("", script[start:end])
        if bare.count("(") != bare.count(")"):  # a syntax error, or not: let the parser see it whole
            return None
        slices.append((start, end))
        start = end + 1
    return slices


def _slices_between_semicolons(tokens: list[tuple[str, int]], length: int) -> list[tuple[int, int]]:
    """Statements around a syntax error: cut at each semicolon outside parentheses and outside BEGIN ATOMIC ... END."""
    slices, start, parentheses, blocks, previous = [], 0, 0, 0, ""
    for name, position in tokens:
        parentheses += (name == "ASCII_40") - (name == "ASCII_41")
        if name == "ATOMIC" and previous == "BEGIN_P":
            blocks += 1
        elif blocks:
            blocks += (name == "CASE") - (name == "END_P")
        elif name == "ASCII_59" and parentheses <= 0:
            slices.append((start, position))
            start = position + 1
        previous = name
    return [*slices, (start, length)]


def _refuse_psql(script: str, error: Exception, path: Path) -> None:
    position = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], int) else -1
    if 0 <= position < len(script) and script[position] == "\\":
        line = script.count("\n", 0, position) + 1
        raise SqlInvalid(
            f"{path}, line {line}: a command of psql, which PostgreSQL does not know.",
            "Write plain SQL: michi sends the file to the server, not to psql.",
            file=str(path),
            line=line,
        ) from None
    for match in re.finditer(
        r"^[ \t]*copy\b[^;]*\bfrom\s+stdin\b", script[: max(position, 0)], re.IGNORECASE | re.MULTILINE
    ):
        raise _copy_from_stdin(path, script.count("\n", 0, match.start()) + 1) from None


def _copy_from_stdin(path: Path, line: int) -> SqlInvalid:
    return SqlInvalid(
        f"{path}, line {line}: COPY FROM STDIN needs a client that sends the rows.",
        "Write the rows as INSERT statements, or load them outside the migration.",
        file=str(path),
        line=line,
    )


def _copy_to_stdout(path: Path, line: int) -> SqlInvalid:
    return SqlInvalid(
        f"{path}, line {line}: COPY TO STDOUT sends rows to a client, and a migration has none.",
        "Remove it, or export the rows outside the migration.",
        file=str(path),
        line=line,
    )


def _classify(text: str, line: int, path: Path) -> Statement:
    if not WORTH_PARSING.match(text):
        return Statement(text, line)
    from pglast import ast  # noqa: PLC0415 -- see _slices
    from pglast.parser import ParseError, parse_sql  # noqa: PLC0415

    try:
        node = parse_sql(text)[0].stmt
    except (ParseError, IndexError):
        return Statement(text, line)
    if isinstance(node, ast.TransactionStmt):
        verb = text.split(maxsplit=1)[0].upper().rstrip(";")
        raise SqlTransactionControl(
            f"{path}, line {line}: {verb} stands in the script, but michi owns the transaction.",
            "Remove it; each migration runs in one transaction unless it says `-- michi: transaction = off`.",
            file=str(path),
            line=line,
        )
    if isinstance(node, ast.CopyStmt) and node.filename is None and not node.is_program:
        raise _copy_from_stdin(path, line) if node.is_from else _copy_to_stdout(path, line)
    if isinstance(node, ast.IndexStmt) and node.concurrent:
        if node.idxname is None:
            raise SqlInvalid(
                f"{path}, line {line}: an index that is built concurrently needs a name.",
                "Name it, so that michi can find and rebuild it after a kill.",
                file=str(path),
                line=line,
            )
        schema = node.relation.schemaname if node.relation is not None else None
        return Statement(text, line, "concurrent_index", schema, node.idxname)
    if isinstance(node, ast.DropStmt) and node.concurrent:
        *qualifier, name = (part.sval for part in (node.objects or ((),))[0])
        return Statement(text, line, "concurrent_drop", qualifier[-1] if qualifier else None, name)
    if _runs_alone(node):
        return Statement(text, line, "alone", repeatable=_is_repeatable(node))
    # A procedure may commit as it goes; nobody can see that from its CALL. A DO block shows it.
    commits = isinstance(node, ast.CallStmt) or (isinstance(node, ast.DoStmt) and COMMITS.search(text) is not None)
    return Statement(text, line, commits=commits)


def _runs_alone(node: object) -> bool:
    """Whether PostgreSQL refuses the statement inside a transaction block (its PreventInTransactionBlock calls)."""
    from pglast import ast, enums  # noqa: PLC0415 -- see _slices

    if isinstance(node, ast.VacuumStmt):
        return bool(node.is_vacuumcmd)
    if isinstance(node, ast.ReindexStmt):
        whole = node.kind in {
            enums.ReindexObjectType.REINDEX_OBJECT_SCHEMA,
            enums.ReindexObjectType.REINDEX_OBJECT_SYSTEM,
            enums.ReindexObjectType.REINDEX_OBJECT_DATABASE,
        }
        return whole or any(option.defname == "concurrently" for option in node.params or ())
    if isinstance(node, ast.AlterTableStmt):
        return any(
            command.subtype
            in {enums.AlterTableType.AT_DetachPartition, enums.AlterTableType.AT_DetachPartitionFinalize}
            and (command.subtype == enums.AlterTableType.AT_DetachPartitionFinalize or command.def_.concurrent)
            for command in node.cmds or ()
        )
    if isinstance(node, ast.ClusterStmt):
        return node.relation is None
    if isinstance(node, ast.AlterDatabaseStmt):
        return any(option.defname == "tablespace" for option in node.options or ())
    return isinstance(
        node,
        ast.CreatedbStmt
        | ast.DropdbStmt
        | ast.CreateTableSpaceStmt
        | ast.DropTableSpaceStmt
        | ast.AlterSystemStmt
        | ast.CreateSubscriptionStmt
        | ast.DropSubscriptionStmt,
    )


def _is_repeatable(node: object) -> bool:
    """Whether running the statement again after a kill does no harm and gives the same result."""
    from pglast import ast  # noqa: PLC0415 -- see _slices

    if isinstance(node, ast.DropdbStmt | ast.DropTableSpaceStmt | ast.DropSubscriptionStmt):
        return bool(node.missing_ok)
    return isinstance(node, ast.VacuumStmt | ast.ReindexStmt | ast.ClusterStmt | ast.AlterSystemStmt)


def runs_in_transaction(statements: list[Statement], declared: bool | None, path: Path) -> bool:
    """Whether a script runs as one transaction: as declared, or by what it holds where nothing is declared.

    A single statement that cannot run in a transaction needs no directive. Raises SqlNotInTransaction, with the line,
    where such a statement stands among others undeclared, or where `transaction = on` is declared against it.
    """
    if declared is False:
        return False
    outside = next((statement for statement in statements if statement.kind != "plain"), None)
    if outside is None:
        return True
    if declared is None and len(statements) == 1:
        return False
    raise SqlNotInTransaction(
        f"{path}, line {outside.line}: PostgreSQL refuses this inside a transaction: {first_line(outside.text)}",
        "Put it in a migration of its own, or say `-- michi: transaction = off` at the top of the file.",
        file=str(path),
        line=outside.line,
    )


def first_line(text: str, width: int = 100) -> str:
    """The statement on one line, cut to `width` characters, for messages."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
