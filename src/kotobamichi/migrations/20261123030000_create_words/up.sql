-- Words, and how many of them there are.

CREATE TABLE words (
    id uuid PRIMARY KEY,
    hiragana text NOT NULL CHECK (hiragana <> ''),
    katakana text,
    kanji text,
    romaji text,
    english text NOT NULL CHECK (english <> ''),
    pronunciation_url text,
    level text CHECK (level IN ('N5', 'N4', 'N3', 'N2', 'N1')),
    topic text,
    part_of_speech text,
    examples jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(examples) = 'array'),
    content_hash text NOT NULL CONSTRAINT words_content_hash_key UNIQUE CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    -- What a search looks in: every spelling and the meaning, in one width and case.
    search_text text NOT NULL GENERATED ALWAYS AS (
        lower(normalize(
            hiragana || ' ' || coalesce(katakana, '') || ' ' || coalesce(kanji, '') || ' ' || coalesce(romaji, '') || ' ' || english,
            NFKC
        ))
    ) STORED,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now()
);

-- The order of lists: oldest first, the id decides among words of one import.
CREATE INDEX words_created_at_id_idx ON words (created_at, id);
CREATE INDEX words_level_created_at_id_idx ON words (level, created_at, id);

COMMENT ON COLUMN words.content_hash IS 'SHA-256 hex of hiragana|kanji|english, each trimmed, NFKC, lower case';

-- A list says how many words there are in all. Counting them would read the whole index on every request; here the number is
-- kept per level, exact in every transaction, and costs writers of words (administrators) one small update.
CREATE TABLE word_totals (
    level text PRIMARY KEY,
    total bigint NOT NULL CHECK (total >= 0)
);

COMMENT ON TABLE word_totals IS 'Words per level, kept by triggers; the level is empty for words without one';

INSERT INTO word_totals (level, total) VALUES ('', 0), ('N5', 0), ('N4', 0), ('N3', 0), ('N2', 0), ('N1', 0);

CREATE FUNCTION words_keep_totals() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER words_inserted AFTER INSERT ON words REFERENCING NEW TABLE AS new_words
FOR EACH STATEMENT EXECUTE FUNCTION words_keep_totals();
CREATE TRIGGER words_updated AFTER UPDATE ON words REFERENCING OLD TABLE AS old_words NEW TABLE AS new_words
FOR EACH STATEMENT EXECUTE FUNCTION words_keep_totals();
CREATE TRIGGER words_deleted AFTER DELETE ON words REFERENCING OLD TABLE AS old_words
FOR EACH STATEMENT EXECUTE FUNCTION words_keep_totals();
CREATE TRIGGER words_truncated AFTER TRUNCATE ON words
FOR EACH STATEMENT EXECUTE FUNCTION words_keep_totals();
