"""One UPDATE or DELETE cut into batches by a key: reads the statement, writes the SQL of a batch. Executes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from michi.errors import BackfillInvalid
from michi.sql import Statement, in_ascii

# The columns of the primary key in its order, each with its type as SQL writes it.
PRIMARY_KEY = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS key(number, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.number
WHERE i.indrelid = to_regclass(%s) AND i.indisprimary
ORDER BY key.place
"""
# The rows of the last ANALYZE; where there was none since the table was filled, what the statistics have counted. Not scaled by the
# table's growth, as the planner does: a backfill makes its table grow without a row more. A partitioned table is its parts.
ESTIMATE = """
SELECT sum(CASE WHEN c.reltuples > 0 THEN c.reltuples ELSE nullif(pg_stat_get_live_tuples(c.oid), 0) END)::bigint
FROM (SELECT relid FROM pg_partition_tree(to_regclass(%(table)s)) WHERE isleaf UNION SELECT to_regclass(%(table)s)) part
JOIN pg_class c ON c.oid = part.relid AND c.relkind = 'r'
"""


@dataclass(frozen=True)
class Column:
    name: str
    type: str


@dataclass(frozen=True)
class Sweep:
    """A statement that can be cut: the table it changes, and the text before and after where a condition goes.

    `alias` is how the statement calls the table. `assigned` are the columns that it sets; none for a DELETE.
    """

    statement: Statement
    schema: str | None
    table: str
    alias: str
    only: bool
    assigned: frozenset[str]
    before: str
    after: str

    @property
    def relation(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.table) if self.schema else sql.Identifier(self.table)

    def batch(self, key: Sequence[Column], after: Sequence[str] | None, upto: Sequence[str] | None) -> sql.Composed:
        """The statement for the rows whose key is past `after` and not past `upto`; None is no bound."""
        own = [sql.SQL("{}.{}").format(sql.Identifier(self.alias), sql.Identifier(column.name)) for column in key]
        bounds = [
            _compare(own, operator, key, values)
            for operator, values in ((">", after), ("<=", upto))
            if values is not None
        ]
        condition = sql.SQL(" AND ").join(bounds) if bounds else sql.SQL("true")
        return sql.SQL("").join([_verbatim(self.before), condition, _verbatim(self.after)])

    def bound(self, key: Sequence[Column], after: Sequence[str] | None, rows: int) -> sql.Composed:
        """Selects, as text, the key of the row that is `rows` further on; nothing where fewer are left."""
        # With the table's name, because ORDER BY would take the bare one for the text that is selected.
        names = [sql.SQL("t.{}").format(sql.Identifier(column.name)) for column in key]
        where = sql.SQL("WHERE {}").format(_compare(names, ">", key, after)) if after is not None else sql.SQL("")
        return sql.SQL("SELECT {} FROM {}{} t {} ORDER BY {} OFFSET {} LIMIT 1").format(
            sql.SQL(", ").join(sql.SQL("{}::text").format(name) for name in names),
            sql.SQL("ONLY ") if self.only else sql.SQL(""), self.relation, where,
            sql.SQL(", ").join(names), sql.Literal(rows - 1),
        )  # fmt: skip

    def rest(self, key: Sequence[Column], after: Sequence[str] | None) -> sql.Composed:
        """Counts the rows that the last batch looks at."""
        names = [sql.Identifier(column.name) for column in key]
        where = sql.SQL(" WHERE {}").format(_compare(names, ">", key, after)) if after is not None else sql.SQL("")
        only = sql.SQL("ONLY ") if self.only else sql.SQL("")
        return sql.SQL("SELECT count(*) FROM {}{}{}").format(only, self.relation, where)


def _compare(
    names: Sequence[sql.Composable], operator: str, key: Sequence[Column], values: Sequence[str]
) -> sql.Composed:
    """A comparison of rows, which an index on the key answers."""
    literals = [
        sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(column.type))
        for column, value in zip(key, values, strict=True)
    ]
    return sql.SQL("({}) {} ({})").format(
        sql.SQL(", ").join(names),
        sql.SQL(operator),
        sql.SQL(", ").join(literals),
    )


def _verbatim(text: str) -> sql.SQL:
    return sql.SQL(text)


def read_sweep(statements: Sequence[Statement], path: Path) -> Sweep:
    """Raises BackfillInvalid, with the line, for anything but one UPDATE or DELETE that can be cut by a key."""
    from pglast import ast  # noqa: PLC0415 -- 20 ms that a no-op deploy need not spend
    from pglast.parser import ParseError, parse_sql  # noqa: PLC0415

    if len(statements) != 1:
        raise _invalid(path, statements[1].line if len(statements) > 1 else 1, f"it has {len(statements)} statements")
    (statement,) = statements
    try:
        node = parse_sql(statement.text)[0].stmt
    except ParseError:
        raise _invalid(path, statement.line, "this cannot be parsed") from None
    if not isinstance(node, ast.UpdateStmt | ast.DeleteStmt):
        raise _invalid(path, statement.line, "this is neither UPDATE nor DELETE")
    if isinstance(node.whereClause, ast.CurrentOfExpr):
        raise _invalid(path, statement.line, "WHERE CURRENT OF belongs to a cursor")
    relation = node.relation
    assert relation is not None
    assert relation.relname is not None
    before, after = _open_condition(statement.text)
    return Sweep(
        statement,
        relation.schemaname,
        relation.relname,
        (relation.alias.aliasname if relation.alias is not None else None) or relation.relname,
        not relation.inh,
        frozenset(target.name for target in node.targetList or ()) if isinstance(node, ast.UpdateStmt) else frozenset(),
        before,
        after,
    )


def _open_condition(text: str) -> tuple[str, str]:
    """The text around the place where another condition fits: after the one that is there, which is put in parentheses."""
    from pglast.parser import scan  # noqa: PLC0415 -- see read_sweep

    depth, where, end = 0, None, len(text)
    for token in scan(in_ascii(text)):
        depth += (token.name in {"ASCII_40", "ASCII_91"}) - (token.name in {"ASCII_41", "ASCII_93"})
        if depth == 0 and token.name == "WHERE":
            where = token.end + 1
        elif depth == 0 and token.name == "RETURNING":
            end = token.start
    # A line break, because a comment may stand at the end of a line.
    if where is None:
        return f"{text[:end]}\nWHERE ", f"\n{text[end:]}"
    # The parenthesis takes the place of the space, so that the server's positions in the text stay those of the file.
    rest = where + (text[where : where + 1] == " ")
    return f"{text[:where]}({text[rest:end]}\n) AND ", f"\n{text[end:]}"


def check_key(sweep: Sweep, key: Sequence[Column], path: Path) -> None:
    """Raises BackfillInvalid where the table has no primary key, or the statement moves rows along it."""
    if not key:
        raise _invalid(path, sweep.statement.line, f"{sweep.table} has no primary key to go along")
    moved = sweep.assigned & {column.name for column in key}
    if moved:
        raise _invalid(path, sweep.statement.line, f"it changes {', '.join(sorted(moved))}, the key it goes along")


def _invalid(path: Path, line: int, what: str) -> BackfillInvalid:
    return BackfillInvalid(
        f"{path}, line {line}: not a backfill, because {what}.",
        "A backfill is one UPDATE or DELETE on a table with a primary key, which it leaves as it is; remove the directive"
        " or put the rest into other migrations.",
        file=str(path),
        line=line,
    )
