"""The statements that read PostgreSQL's catalogue for catalogue.py. Each takes %(schema)s and gives a row an object."""

_OURS = "c.relnamespace = to_regnamespace(quote_ident(%(schema)s)) AND c.relname NOT LIKE '\\_michi\\_%%'"
_NO_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{0}'::regclass AND e.objid = {1} AND e.deptype = 'e')"
)
_NAMESPACE = "to_regnamespace(quote_ident(%(schema)s))"

TABLES = f"""
SELECT c.oid, c.relname::text AS name, c.relpersistence::text AS persistence, c.reloptions AS storage,
       pg_get_partkeydef(c.oid) AS partition_key, pg_get_expr(c.relpartbound, c.oid) AS bound,
       obj_description(c.oid, 'pg_class') AS comment,
       (SELECT p.relname::text FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
        WHERE i.inhrelid = c.oid AND c.relispartition) AS parent
FROM pg_class c
WHERE {_OURS} AND c.relkind IN ('r', 'p') AND {_NO_EXTENSION.format("pg_class", "c.oid")}
ORDER BY c.relispartition, c.oid
"""

_SEQUENCE_OPTIONS = """
'name', q.sequence_name, 'data_type', format_type(q.seqtypid, NULL), 'start', q.seqstart,
'increment', q.seqincrement, 'minimum', q.seqmin, 'maximum', q.seqmax, 'cache', q.seqcache, 'cycle', q.seqcycle
"""
# A column's own sequence: of an identity (deptype i), or of a serial (deptype a, and the default draws from it).
_OWN_SEQUENCE = """
SELECT q.*, s.oid AS sequence_oid, s.relname::text AS sequence_name FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_sequence q ON q.seqrelid = s.oid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
  AND d.refobjsubid = a.attnum
  AND (d.deptype = 'i' OR (d.deptype = 'a' AND EXISTS (
      SELECT FROM pg_attrdef f JOIN pg_depend u ON u.classid = 'pg_attrdef'::regclass AND u.objid = f.oid
      WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum AND u.refobjid = s.oid
        AND pg_get_expr(f.adbin, f.adrelid) LIKE 'nextval(%%')))
"""

COLUMNS = f"""
SELECT a.attrelid AS table_oid, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS not_null, pg_get_expr(f.adbin, f.adrelid) AS "default",
       pg_get_expr(f.adbin, f.adrelid, true) AS default_shown, a.attgenerated::text AS generated,
       a.attidentity::text AS identity,
       CASE WHEN a.attcollation <> t.typcollation THEN l.collname::text END AS collation,
       col_description(a.attrelid, a.attnum) AS comment,
       (SELECT jsonb_build_object({_SEQUENCE_OPTIONS}) FROM ({_OWN_SEQUENCE}) q) AS sequence,
       CASE WHEN a.attgenerated <> '' THEN ARRAY(
           SELECT u.attname::text FROM pg_depend d JOIN pg_attribute u ON u.attrelid = d.refobjid AND u.attnum = d.refobjsubid
           WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
             AND ((d.classid = 'pg_class'::regclass AND d.objid = a.attrelid AND d.objsubid = a.attnum)
               OR (d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid)))
       END AS uses
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE {_OURS} AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

CONSTRAINTS = f"""
SELECT k.conrelid AS table_oid, k.conname::text AS name, k.contype::text AS kind, pg_get_constraintdef(k.oid) AS definition,
       pg_get_constraintdef(k.oid, true) AS shown, k.convalidated AS valid, obj_description(k.oid, 'pg_constraint') AS comment,
       (SELECT r.relname::text FROM pg_class r WHERE r.oid = k.confrelid) AS references,
       CASE WHEN k.contype IN ('p', 'u') THEN pg_get_indexdef(k.conindid, 0, true) END AS index,
       (SELECT quote_ident(i.relname) FROM pg_class i WHERE i.oid = k.conindid) AS index_name,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)) AS columns
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE {_OURS} AND k.contype IN ('p', 'u', 'c', 'f', 'x') AND k.conparentid = 0 AND k.conislocal
ORDER BY k.conrelid, array_position(ARRAY['p', 'u', 'x', 'c', 'f'], k.contype::text), k.conname
"""

INDEXES = f"""
SELECT i.indrelid AS table_oid, n.relname::text AS name, quote_ident(n.relname) AS quoted, i.indisunique AS unique,
       pg_get_indexdef(i.indexrelid) AS definition, pg_get_indexdef(i.indexrelid, 0, true) AS shown,
       i.indisvalid AND i.indisready AS valid, obj_description(i.indexrelid, 'pg_class') AS comment,
       ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend d
             JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
               AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid) AS columns
FROM pg_index i JOIN pg_class n ON n.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
WHERE {_OURS} AND c.relkind IN ('r', 'p') AND NOT n.relispartition
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY i.indrelid, n.relname
"""

ENUMS = f"""
SELECT t.typname::text AS name, obj_description(t.oid, 'pg_type') AS comment,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels
FROM pg_type t
WHERE t.typnamespace = {_NAMESPACE} AND t.typtype = 'e' AND {_NO_EXTENSION.format("pg_type", "t.oid")}
ORDER BY t.typname
"""

SEQUENCES = f"""
SELECT c.relname::text AS name, format_type(q.seqtypid, NULL) AS data_type, q.seqstart AS start,
       q.seqincrement AS increment, q.seqmin AS minimum, q.seqmax AS maximum, q.seqcache AS cache, q.seqcycle AS cycle,
       obj_description(c.oid, 'pg_class') AS comment,
       (SELECT quote_ident(r.relname) || '.' || quote_ident(o.attname) FROM pg_depend d
        JOIN pg_class r ON r.oid = d.refobjid JOIN pg_attribute o ON o.attrelid = d.refobjid AND o.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'a'
          AND d.refclassid = 'pg_class'::regclass) AS owned_by
FROM pg_class c JOIN pg_sequence q ON q.seqrelid = c.oid
WHERE {_OURS} AND {_NO_EXTENSION.format("pg_class", "c.oid")}
  AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                  CROSS JOIN LATERAL ({_OWN_SEQUENCE}) own
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
                    AND own.sequence_oid = c.oid)
ORDER BY c.relname
"""

_FUNCTION = "p.oid::regprocedure::text"
OTHERS = f"""
SELECT * FROM (
SELECT 'extension' AS kind, x.extname::text AS name, format('CREATE EXTENSION IF NOT EXISTS %%I', x.extname) AS create,
       format('DROP EXTENSION %%I', x.extname) AS drop
FROM pg_extension x WHERE x.extname <> 'plpgsql'
UNION ALL
SELECT CASE WHEN p.prokind = 'p' THEN 'procedure' ELSE 'function' END, {_FUNCTION}, pg_get_functiondef(p.oid),
       CASE WHEN p.prokind = 'p' THEN 'DROP PROCEDURE ' ELSE 'DROP FUNCTION ' END || {_FUNCTION}
FROM pg_proc p
WHERE p.pronamespace = {_NAMESPACE} AND p.prokind IN ('f', 'p', 'w') AND {_NO_EXTENSION.format("pg_proc", "p.oid")}
UNION ALL
SELECT 'aggregate', {_FUNCTION}, format('-- aggregate %%s, transition %%s', {_FUNCTION}, g.aggtransfn),
       'DROP AGGREGATE ' || {_FUNCTION}
FROM pg_proc p JOIN pg_aggregate g ON g.aggfnoid = p.oid
WHERE p.pronamespace = {_NAMESPACE} AND {_NO_EXTENSION.format("pg_proc", "p.oid")}
UNION ALL
SELECT 'domain', format_type(t.oid, NULL),
       concat_ws(' ', 'CREATE DOMAIN', format_type(t.oid, NULL), 'AS', format_type(t.typbasetype, t.typtypmod),
                 CASE WHEN t.typdefault IS NOT NULL THEN 'DEFAULT ' || t.typdefault END,
                 CASE WHEN t.typnotnull THEN 'NOT NULL' END,
                 (SELECT string_agg(format('CONSTRAINT %%I %%s', k.conname, pg_get_constraintdef(k.oid)), ' ' ORDER BY k.conname)
                  FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c')),
       'DROP DOMAIN ' || format_type(t.oid, NULL)
FROM pg_type t
WHERE t.typnamespace = {_NAMESPACE} AND t.typtype = 'd' AND {_NO_EXTENSION.format("pg_type", "t.oid")}
UNION ALL
SELECT 'composite type', format_type(t.oid, NULL),
       format('CREATE TYPE %%s AS (%%s)', format_type(t.oid, NULL),
              (SELECT string_agg(format('%%I %%s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
               FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)),
       'DROP TYPE ' || format_type(t.oid, NULL)
FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
WHERE {_OURS} AND c.relkind = 'c' AND {_NO_EXTENSION.format("pg_type", "t.oid")}
UNION ALL
SELECT 'range type', format_type(t.oid, NULL),
       format('CREATE TYPE %%s AS RANGE (subtype = %%s)', format_type(t.oid, NULL), format_type(r.rngsubtype, NULL)),
       'DROP TYPE ' || format_type(t.oid, NULL)
FROM pg_type t JOIN pg_range r ON r.rngtypid = t.oid
WHERE t.typnamespace = {_NAMESPACE} AND {_NO_EXTENSION.format("pg_type", "t.oid")}
UNION ALL
SELECT CASE WHEN c.relkind = 'v' THEN 'view' ELSE 'materialized view' END, c.relname::text,
       format('CREATE %%s %%I%%s AS%%s%%s', CASE WHEN c.relkind = 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END, c.relname,
              CASE WHEN c.reloptions IS NOT NULL THEN format(' WITH (%%s)', array_to_string(c.reloptions, ', ')) END, chr(10),
              rtrim(pg_get_viewdef(c.oid), ';')),
       format('DROP %%s %%I', CASE WHEN c.relkind = 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END, c.relname)
FROM pg_class c WHERE {_OURS} AND c.relkind IN ('v', 'm') AND {_NO_EXTENSION.format("pg_class", "c.oid")}
UNION ALL
SELECT 'index of a materialized view', n.relname::text, pg_get_indexdef(i.indexrelid), format('DROP INDEX %%I', n.relname)
FROM pg_index i JOIN pg_class n ON n.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid WHERE {_OURS} AND c.relkind = 'm'
UNION ALL
SELECT 'trigger', format('%%s on %%s', g.tgname, c.relname),
       pg_get_triggerdef(g.oid, true) || CASE g.tgenabled WHEN 'O' THEN '' ELSE format(
           E';\\nALTER TABLE %%I %%s TRIGGER %%I', c.relname,
           CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, g.tgname) END,
       format('DROP TRIGGER %%I ON %%I', g.tgname, c.relname)
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid WHERE {_OURS} AND NOT g.tgisinternal AND g.tgparentid = 0
UNION ALL
SELECT 'rule', format('%%s on %%s', r.rulename, c.relname), rtrim(pg_get_ruledef(r.oid), ';'),
       format('DROP RULE %%I ON %%I', r.rulename, c.relname)
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE {_OURS} AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'statistics', s.stxname::text, pg_get_statisticsobjdef(s.oid), format('DROP STATISTICS %%I', s.stxname)
FROM pg_statistic_ext s WHERE s.stxnamespace = {_NAMESPACE}
UNION ALL
SELECT 'row security', c.relname::text,
       concat_ws(E';\\n', CASE WHEN c.relrowsecurity THEN format('ALTER TABLE %%I ENABLE ROW LEVEL SECURITY', c.relname) END,
                 CASE WHEN c.relforcerowsecurity THEN format('ALTER TABLE %%I FORCE ROW LEVEL SECURITY', c.relname) END),
       format('ALTER TABLE %%I DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', c.relname)
FROM pg_class c WHERE {_OURS} AND c.relkind IN ('r', 'p') AND (c.relrowsecurity OR c.relforcerowsecurity)
UNION ALL
SELECT 'policy', format('%%s on %%s', y.polname, c.relname),
       concat_ws(' ', format('CREATE POLICY %%I ON %%I AS', y.polname, c.relname),
                 CASE WHEN y.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, 'FOR',
                 CASE y.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                      ELSE 'ALL' END,
                 'TO ' || coalesce((SELECT string_agg(quote_ident(o.rolname), ', ' ORDER BY o.rolname) FROM pg_roles o
                                    WHERE o.oid = ANY (y.polroles)), 'PUBLIC'),
                 'USING (' || pg_get_expr(y.polqual, y.polrelid) || ')',
                 'WITH CHECK (' || pg_get_expr(y.polwithcheck, y.polrelid) || ')'),
       format('DROP POLICY %%I ON %%I', y.polname, c.relname)
FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid WHERE {_OURS}
) others ORDER BY array_position(ARRAY['extension', 'domain', 'composite type', 'range type', 'function', 'procedure', 'aggregate',
    'view', 'materialized view', 'index of a materialized view', 'rule', 'trigger', 'statistics', 'row security', 'policy'],
    kind), name
"""

# Statements that remove what models can say, and views because they hang on tables. Functions and extensions stay.
REMOVALS = f"""
SELECT format('DROP %%s IF EXISTS %%I.%%I CASCADE',
              CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                   WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, %(schema)s::text, c.relname)
FROM pg_class c
WHERE c.relnamespace = {_NAMESPACE} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype IN ('e', 'i'))
UNION ALL
SELECT format('DROP TYPE IF EXISTS %%I.%%I CASCADE', %(schema)s::text, t.typname) FROM pg_type t
WHERE t.typnamespace = {_NAMESPACE} AND (t.typtype = 'e' OR t.typname = ANY (%(domains)s))
  AND {_NO_EXTENSION.format("pg_type", "t.oid")}
"""
