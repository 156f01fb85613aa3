"""ALTER TABLE by its parse tree: the lock of each subcommand, and whether it writes or reads all rows. Pure; see locks.py."""

from __future__ import annotations

from typing import Any

from pglast import ast, enums

from michi.effects import Name, Seen, name_of
from michi.mentions import Mode, list_functions

AT = enums.AlterTableType
CONSTR = enums.ConstrType

# Everything else takes AccessExclusive.
WEAKER: dict[Any, Mode] = {
    AT.AT_EnableTrig: "ShareRowExclusive", AT.AT_EnableAlwaysTrig: "ShareRowExclusive",
    AT.AT_EnableReplicaTrig: "ShareRowExclusive", AT.AT_EnableTrigAll: "ShareRowExclusive",
    AT.AT_EnableTrigUser: "ShareRowExclusive", AT.AT_DisableTrig: "ShareRowExclusive",
    AT.AT_DisableTrigAll: "ShareRowExclusive", AT.AT_DisableTrigUser: "ShareRowExclusive",
    AT.AT_SetStatistics: "ShareUpdateExclusive", AT.AT_ClusterOn: "ShareUpdateExclusive",
    AT.AT_DropCluster: "ShareUpdateExclusive", AT.AT_SetOptions: "ShareUpdateExclusive",
    AT.AT_ResetOptions: "ShareUpdateExclusive", AT.AT_ValidateConstraint: "ShareUpdateExclusive",
    AT.AT_AttachPartition: "ShareUpdateExclusive", AT.AT_DetachPartitionFinalize: "ShareUpdateExclusive",
}  # fmt: skip
# The storage parameters of a relation that readers look at.
STRICT_PARAMETERS = frozenset(
    {"user_catalog_table", "security_barrier", "security_invoker", "check_option", "buffering", "deduplicate_items"}
)
REWRITES = frozenset({AT.AT_SetLogged, AT.AT_SetUnLogged, AT.AT_SetExpression})
# The table is copied, unless it is there already.
PERHAPS_REWRITES = frozenset({AT.AT_SetAccessMethod, AT.AT_SetTableSpace})

SERIAL = frozenset({"serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"})
# Types that are no domain, which alone would check every row.
PLAIN_TYPES = frozenset({
    "text", "uuid", "json", "jsonb", "date", "bytea", "inet", "cidr", "macaddr", "money", "name", "oid", "xml", "tsvector",
    "tsquery", "int2", "int4", "int8", "float4", "float8", "bool", "numeric", "varchar", "bpchar", "timestamp",
    "timestamptz", "time", "timetz", "interval", "bit", "varbit", "point", "int4range", "int8range", "numrange",
    "daterange", "tsrange", "tstzrange",
})  # fmt: skip
# Functions whose value is the same for all rows of one statement, so that a default needs no rewriting, and some where it is not.
STABLE_FUNCTIONS = frozenset({
    "now", "transaction_timestamp", "statement_timestamp", "current_database", "current_schema", "current_setting",
    "to_timestamp", "lower", "upper", "md5", "make_interval", "make_date", "array_fill", "jsonb_build_object",
    "jsonb_build_array", "json_build_object", "date_trunc", "timezone", "length", "abs", "coalesce", "encode", "decode",
    "concat", "to_tsvector", "txid_current", "pg_backend_pid",
})  # fmt: skip
VOLATILE_FUNCTIONS = frozenset({
    "random", "gen_random_uuid", "uuidv4", "uuidv7", "uuid_generate_v4", "uuid_generate_v1", "clock_timestamp", "nextval",
    "timeofday", "random_normal", "gen_random_bytes", "setval",
})  # fmt: skip


def alter_table(node: Any, seen: Seen) -> None:
    """Notes the strongest lock of all subcommands, and what they do to the rows."""
    name = name_of(node.relation)
    if node.objtype == enums.ObjectType.OBJECT_INDEX:
        return  # it is locked itself, in a mode that is in nobody's way, and its table is not
    for command in node.cmds or ():
        mode, rewrites, scans = _effect(command, name, seen)
        seen.lock(name, mode, rewrites=rewrites, scans=scans or rewrites is True)


def _effect(command: Any, table: Name, seen: Seen) -> tuple[Mode, bool | None, bool]:
    """Mode, whether it rewrites, whether it reads all rows."""
    kind = command.subtype
    if kind == AT.AT_AddColumn:
        return _add_column(command.def_, table, seen)
    if kind == AT.AT_AddConstraint:
        return _add_constraint(command.def_, table, seen)
    if kind == AT.AT_AlterColumnType:
        seen.known = False  # the tables at the other end of foreign keys are in the catalogue
        return "AccessExclusive", None, True
    if kind in {AT.AT_SetRelOptions, AT.AT_ResetRelOptions}:
        strict = any(option.defname in STRICT_PARAMETERS for option in command.def_ or ())
        return "AccessExclusive" if strict else "ShareUpdateExclusive", False, False
    if kind in {AT.AT_AttachPartition, AT.AT_DetachPartition, AT.AT_DetachPartitionFinalize}:
        return _partition(command, seen)
    if kind in {AT.AT_AddInherit, AT.AT_DropInherit}:
        seen.lock(name_of(command.def_), "ShareUpdateExclusive" if kind == AT.AT_AddInherit else "AccessShare")
    if kind in {AT.AT_DropColumn, AT.AT_DropConstraint, AT.AT_ValidateConstraint, AT.AT_AlterConstraint}:
        seen.known = False  # as above
    rewrites = True if kind in REWRITES else None if kind in PERHAPS_REWRITES else False
    scans = kind in {AT.AT_SetNotNull, AT.AT_ValidateConstraint}
    return WEAKER.get(kind, "AccessExclusive"), rewrites, scans


def _partition(command: Any, seen: Seen) -> tuple[Mode, bool | None, bool]:
    kind, partition = command.subtype, name_of(command.def_.name)
    if kind == AT.AT_AttachPartition:
        seen.lock(partition, "AccessExclusive", scans=True)
        seen.known = False  # a default partition is looked through as well
        return "ShareUpdateExclusive", False, False
    concurrent = kind == AT.AT_DetachPartitionFinalize or bool(command.def_.concurrent)
    seen.lock(partition, "AccessExclusive")
    return "ShareUpdateExclusive" if concurrent else "AccessExclusive", False, False


def _add_constraint(constraint: Any, table: Name, seen: Seen) -> tuple[Mode, bool | None, bool]:
    # The parser fills is_enforced in for those two alone.
    enforceable = constraint.contype in {CONSTR.CONSTR_CHECK, CONSTR.CONSTR_FOREIGN}
    unchecked = enforceable and (bool(constraint.skip_validation) or not constraint.is_enforced)
    if constraint.contype == CONSTR.CONSTR_FOREIGN:
        if name_of(constraint.pktable) != table:
            seen.lock(name_of(constraint.pktable), "ShareRowExclusive", scans=not unchecked)
        return "ShareRowExclusive", False, not unchecked
    if constraint.indexname is not None:  # USING INDEX; a primary key still looks for nulls
        return "AccessExclusive", False, constraint.contype == CONSTR.CONSTR_PRIMARY
    return "AccessExclusive", False, not unchecked


def _add_column(column: Any, table: Name, seen: Seen) -> tuple[Mode, bool | None, bool]:
    type_name = column.typeName.names[-1].sval
    of_postgresql = column.typeName.names[0].sval == "pg_catalog" or type_name in PLAIN_TYPES
    rewrites: bool | None = True if type_name in SERIAL else False if of_postgresql else None
    scans = not_null = has_default = False
    for constraint in column.constraints or ():
        kind = constraint.contype
        if kind == CONSTR.CONSTR_IDENTITY or (kind == CONSTR.CONSTR_GENERATED and _is_stored(constraint)):
            rewrites = True
        elif kind == CONSTR.CONSTR_DEFAULT:
            has_default = True
            volatile = is_volatile(constraint.raw_expr)
            rewrites = True if volatile or rewrites is True else None if volatile is None else rewrites
        elif kind in {CONSTR.CONSTR_PRIMARY, CONSTR.CONSTR_UNIQUE, CONSTR.CONSTR_CHECK}:
            scans = True
        elif kind == CONSTR.CONSTR_FOREIGN and name_of(constraint.pktable) != table:
            seen.lock(name_of(constraint.pktable), "ShareRowExclusive")
        not_null = not_null or kind == CONSTR.CONSTR_NOTNULL
    return "AccessExclusive", rewrites, scans or (not_null and not has_default)


def _is_stored(constraint: Any) -> bool:
    return bool(getattr(constraint, "generated_kind", "s") in {"s", "\x00"})


def is_volatile(expression: Any) -> bool | None:
    """Whether a default differs from row to row, which takes a rewrite; None where a function is called that is not known here."""
    if isinstance(expression, ast.A_Const):
        return False
    called = list_functions(expression)
    if called & VOLATILE_FUNCTIONS:
        return True
    return None if called - STABLE_FUNCTIONS else False
