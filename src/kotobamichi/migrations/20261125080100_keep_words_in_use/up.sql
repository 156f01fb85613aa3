-- A deleted word disappears from lists and search. Where a quiz or a learner's progress still needs it, its row stays: no quiz loses
-- a question, no learner a past answer. Adding the same word again revives it.

ALTER TABLE words ADD COLUMN deleted_at timestamptz(3);

COMMENT ON COLUMN words.deleted_at IS 'When an administrator deleted the word while quizzes or progress needed it; null for a word that is there';

-- Only what is there counts. `old_words` and `new_words` exist as the operation has them.
CREATE OR REPLACE FUNCTION words_keep_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE word_totals SET total = 0;
        RETURN NULL;
    END IF;
    -- In the order of the levels, so that two writers never wait for each other in a circle.
    PERFORM FROM word_totals ORDER BY level FOR UPDATE;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        UPDATE word_totals t SET total = t.total + n.total
        FROM (SELECT coalesce(level, '') AS level, count(*) AS total FROM new_words WHERE deleted_at IS NULL GROUP BY 1) n
        WHERE n.level = t.level;
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        UPDATE word_totals t SET total = t.total - o.total
        FROM (SELECT coalesce(level, '') AS level, count(*) AS total FROM old_words WHERE deleted_at IS NULL GROUP BY 1) o
        WHERE o.level = t.level;
    END IF;
    RETURN NULL;
END
$$;
