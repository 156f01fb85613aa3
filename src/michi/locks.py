"""What a statement will lock, by its parse tree: on which relation, in which mode, and what else it does there. Pure.

The modes are those of PostgreSQL 15 to 18: chapter 13.3 of its manual, AlterTableGetLockLevel in its source for ALTER TABLE (see
alterations.py). What depends on the catalogue, as whether a change of type rewrites the table, is None here. tests/michi holds
all of it against a running server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pglast import ast, enums
from pglast.parser import ParseError, parse_sql

from michi.alterations import alter_table
from michi.effects import MODES, Effects, Name, Seen, name_from_parts, name_of
from michi.mentions import Mode, list_functions

# A query that calls only these does no more than it shows.
PLAIN_FUNCTIONS = frozenset(
    {
        "count",
        "sum",
        "min",
        "max",
        "avg",
        "bool_and",
        "bool_or",
        "coalesce",
        "now",
        "lower",
        "upper",
        "pg_sleep",
        "set_config",
    }
)


def find_effects(text: str) -> Effects:
    """What one statement does; nothing is known of one that does not parse."""
    try:
        node = parse_sql(text)[0].stmt
    except (ParseError, IndexError):
        return Effects(known=False)
    seen = Seen()
    handle = HANDLERS.get(type(node))
    if handle is not None:
        handle(node, seen)
    elif type(node) not in HARMLESS:
        seen.known = False
    return Effects(tuple(seen.effects.values()), frozenset(seen.creates), seen.changes_rows, seen.known)


# Queries and changes of rows


def _change_rows(node: Any, seen: Seen) -> None:
    seen.changes_rows = True
    seen.lock(name_of(node.relation), "RowExclusive", scans=not isinstance(node, ast.InsertStmt))
    seen.read(node, but=name_of(node.relation))


def _select(node: Any, seen: Seen) -> None:
    into = node.intoClause
    if into is not None:
        seen.creates.add(name_of(into.rel))
    seen.read(node, but=name_of(into.rel) if into is not None else None)
    # Only a query that calls nothing does no more than it shows.
    seen.known = seen.known and not list_functions(node) - PLAIN_FUNCTIONS


def _copy(node: Any, seen: Seen) -> None:
    seen.changes_rows = bool(node.is_from)
    if node.relation is not None:
        seen.lock(name_of(node.relation), "RowExclusive" if node.is_from else "AccessShare", scans=not node.is_from)
    seen.read(node.query)


def _truncate(node: Any, seen: Seen) -> None:
    for relation in node.relations:
        seen.lock(name_of(relation), "AccessExclusive")
    seen.known = node.behavior != enums.DropBehavior.DROP_CASCADE


def _lock_table(node: Any, seen: Seen) -> None:
    for relation in node.relations:
        seen.lock(name_of(relation), MODES[node.mode - 1])


# Tables, views, indexes


def _create_table(node: Any, seen: Seen) -> None:
    own = name_of(node.relation)
    seen.creates.add(own)
    for parent in node.inhRelations or ():
        seen.lock(name_of(parent), "AccessExclusive" if node.partbound is not None else "ShareUpdateExclusive")
    for element in [*(node.tableElts or ()), *(node.constraints or ())]:
        if isinstance(element, ast.TableLikeClause):
            seen.lock(name_of(element.relation), "AccessShare")
        for constraint in [element, *(getattr(element, "constraints", None) or ())]:
            referenced = getattr(constraint, "pktable", None)
            if referenced is not None and name_of(referenced) != own:
                seen.lock(name_of(referenced), "ShareRowExclusive")


def _create_table_as(node: Any, seen: Seen) -> None:
    seen.creates.add(name_of(node.into.rel))
    seen.read(node.query)


def _create_view(node: Any, seen: Seen) -> None:
    if node.replace:
        seen.lock(name_of(node.view), "AccessExclusive")
    seen.creates.add(name_of(node.view))
    seen.read(node.query, scans=False)


def _create_index(node: Any, seen: Seen) -> None:
    if node.idxname is not None:
        seen.creates.add(Name(node.relation.schemaname, node.idxname))
    seen.lock(name_of(node.relation), "ShareUpdateExclusive" if node.concurrent else "Share", scans=True)


DROPPED = {
    enums.ObjectType.OBJECT_TABLE, enums.ObjectType.OBJECT_VIEW, enums.ObjectType.OBJECT_MATVIEW,
    enums.ObjectType.OBJECT_SEQUENCE, enums.ObjectType.OBJECT_FOREIGN_TABLE,
}  # fmt: skip
DROPPED_FROM_TABLE = {
    enums.ObjectType.OBJECT_TRIGGER, enums.ObjectType.OBJECT_POLICY, enums.ObjectType.OBJECT_RULE,
}  # fmt: skip


def _drop(node: Any, seen: Seen) -> None:
    kind = node.removeType
    for parts in node.objects:
        if kind == enums.ObjectType.OBJECT_INDEX:
            seen.lock(
                name_from_parts(parts), "ShareUpdateExclusive" if node.concurrent else "AccessExclusive", index=True
            )
        elif kind in DROPPED:
            seen.lock(name_from_parts(parts), "AccessExclusive")
        elif kind in DROPPED_FROM_TABLE:
            seen.lock(name_from_parts(parts[:-1]), "AccessExclusive")
    # What depends on it, and the tables at the other end of foreign keys, only the catalogue knows.
    seen.known = node.behavior != enums.DropBehavior.DROP_CASCADE and kind != enums.ObjectType.OBJECT_TABLE


def _rename(node: Any, seen: Seen) -> None:
    # An index is locked itself, in a mode that is in nobody's way, and its table is not.
    if node.relation is not None and node.renameType != enums.ObjectType.OBJECT_INDEX:
        seen.lock(name_of(node.relation), "AccessExclusive")


def _set_schema(node: Any, seen: Seen) -> None:
    if node.relation is not None:
        seen.lock(name_of(node.relation), "AccessExclusive")


def _create_trigger(node: Any, seen: Seen) -> None:
    seen.lock(name_of(node.relation), "ShareRowExclusive")


def _create_policy(node: Any, seen: Seen) -> None:
    seen.lock(name_of(node.table), "AccessExclusive")


def _create_rule(node: Any, seen: Seen) -> None:
    seen.lock(name_of(node.relation), "AccessExclusive")


def _create_statistics(node: Any, seen: Seen) -> None:
    for relation in node.relations:
        seen.lock(name_of(relation), "ShareUpdateExclusive")


def _alter_sequence(node: Any, seen: Seen) -> None:
    seen.lock(name_of(node.sequence), "ShareRowExclusive")


def _grant(node: Any, seen: Seen) -> None:
    if node.targtype == enums.GrantTargetType.ACL_TARGET_OBJECT and node.objtype == enums.ObjectType.OBJECT_TABLE:
        for relation in node.objects:
            seen.lock(name_of(relation), "AccessShare")


def _comment(node: Any, seen: Seen) -> None:
    kind = node.objtype
    if kind in DROPPED:
        seen.lock(name_from_parts(node.object), "ShareUpdateExclusive")
    elif kind == enums.ObjectType.OBJECT_COLUMN:
        seen.lock(name_from_parts(node.object[:-1]), "ShareUpdateExclusive")


# What keeps house


def _options(options: Any) -> set[str]:
    """Those that are switched on."""
    off = {"false", "off", "0"}
    return {
        option.defname
        for option in options or ()
        if option.arg is None or str(getattr(option.arg, "sval", getattr(option.arg, "ival", ""))) not in off
    }


def _vacuum(node: Any, seen: Seen) -> None:
    full = node.is_vacuumcmd and "full" in _options(node.options)
    for item in node.rels or ():
        seen.lock(
            name_of(item.relation), "AccessExclusive" if full else "ShareUpdateExclusive", rewrites=full, scans=True
        )
    seen.known = bool(node.rels)


def _cluster(node: Any, seen: Seen) -> None:
    if node.relation is not None:
        seen.lock(name_of(node.relation), "AccessExclusive", rewrites=True, scans=True)
    seen.known = node.relation is not None


def _reindex(node: Any, seen: Seen) -> None:
    mode: Mode = "ShareUpdateExclusive" if "concurrently" in _options(node.params) else "Share"
    if node.relation is not None:
        is_index = node.kind == enums.ReindexObjectType.REINDEX_OBJECT_INDEX
        seen.lock(name_of(node.relation), mode, scans=True, index=is_index, index_locked=mode == "Share")
    seen.known = node.relation is not None


def _refresh(node: Any, seen: Seen) -> None:
    if node.concurrent:
        seen.lock(name_of(node.relation), "Exclusive", scans=True)
    else:
        seen.lock(name_of(node.relation), "AccessExclusive", rewrites=True, scans=True)
    seen.known = False  # what its query reads is in the catalogue


HANDLERS: dict[type, Callable[[Any, Seen], None]] = {
    ast.InsertStmt: _change_rows, ast.UpdateStmt: _change_rows, ast.DeleteStmt: _change_rows, ast.MergeStmt: _change_rows,
    ast.SelectStmt: _select, ast.CopyStmt: _copy, ast.TruncateStmt: _truncate, ast.LockStmt: _lock_table,
    ast.CreateStmt: _create_table, ast.CreateTableAsStmt: _create_table_as, ast.ViewStmt: _create_view,
    ast.IndexStmt: _create_index, ast.DropStmt: _drop, ast.RenameStmt: _rename, ast.AlterObjectSchemaStmt: _set_schema,
    ast.CreateTrigStmt: _create_trigger, ast.CreatePolicyStmt: _create_policy, ast.AlterPolicyStmt: _create_policy,
    ast.RuleStmt: _create_rule, ast.CreateStatsStmt: _create_statistics, ast.AlterSeqStmt: _alter_sequence,
    ast.CommentStmt: _comment, ast.VacuumStmt: _vacuum, ast.ClusterStmt: _cluster, ast.ReindexStmt: _reindex,
    ast.GrantStmt: _grant, ast.RefreshMatViewStmt: _refresh, ast.AlterTableStmt: alter_table,
}  # fmt: skip
# They lock no relation of the schema, or only new ones.
HARMLESS = frozenset({
    ast.CreateSchemaStmt, ast.CreateEnumStmt, ast.AlterEnumStmt, ast.CreateFunctionStmt, ast.CreateSeqStmt, ast.CreateDomainStmt,
    ast.CompositeTypeStmt, ast.CreateRangeStmt, ast.GrantRoleStmt, ast.VariableSetStmt, ast.NotifyStmt,
    ast.AlterDefaultPrivilegesStmt, ast.CreateRoleStmt, ast.AlterRoleStmt, ast.DropRoleStmt, ast.AlterFunctionStmt,
    ast.CheckPointStmt, ast.ConstraintsSetStmt, ast.VariableShowStmt, ast.DefineStmt,
})  # fmt: skip
