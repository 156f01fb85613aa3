-- How often each kind of thing has changed: an app process may keep an answer for as long as the number is the same (decision 0015).
-- A number is the sum over sixteen rows, so that writers do not queue for one: each session has a row of its own.

CREATE TABLE revisions (
    name text NOT NULL,
    shard smallint NOT NULL CHECK (shard BETWEEN 0 AND 15),
    revision bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (name, shard)
) WITH (fillfactor = 50);

COMMENT ON TABLE revisions IS 'Changes per kind of thing, summed over the shards; written by triggers and by bump_revision';

INSERT INTO revisions (name, shard)
SELECT name, shard FROM unnest(ARRAY['accounts', 'attempts', 'quizzes', 'words']) AS name, generate_series(0, 15) AS shard;

CREATE FUNCTION bump_revision(changed text) RETURNS void LANGUAGE sql AS $$
    UPDATE revisions SET revision = revision + 1 WHERE name = changed AND shard = pg_backend_pid() % 16
$$;

CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bump_revision(TG_ARGV[0]);
    RETURN NULL;
END
$$;

CREATE TRIGGER words_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON words
FOR EACH STATEMENT EXECUTE FUNCTION note_change('words');
