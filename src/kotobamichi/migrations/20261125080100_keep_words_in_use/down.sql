-- What was deleted while in use comes back: without the column nothing can hide it.
UPDATE word_totals t SET total = t.total + d.total
FROM (SELECT coalesce(level, '') AS level, count(*) AS total FROM words WHERE deleted_at IS NOT NULL GROUP BY 1) d
WHERE d.level = t.level;

CREATE OR REPLACE FUNCTION words_keep_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE word_totals SET total = 0;
        RETURN NULL;
    END IF;
    -- In the order of the levels, so that two writers never wait for each other in a circle.
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        PERFORM FROM word_totals ORDER BY level FOR UPDATE;
        UPDATE word_totals t SET total = t.total + n.total
        FROM (SELECT coalesce(level, '') AS level, count(*) AS total FROM new_words GROUP BY 1) n WHERE n.level = t.level;
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        PERFORM FROM word_totals ORDER BY level FOR UPDATE;
        UPDATE word_totals t SET total = t.total - o.total
        FROM (SELECT coalesce(level, '') AS level, count(*) AS total FROM old_words GROUP BY 1) o WHERE o.level = t.level;
    END IF;
    RETURN NULL;
END
$$;

ALTER TABLE words DROP COLUMN deleted_at;
