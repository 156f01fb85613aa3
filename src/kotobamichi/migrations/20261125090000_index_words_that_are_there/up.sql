-- Lists, totals and signposts look only at words that are there. Indexes of just these answer them without reading the table, also
-- where an administrator has hidden many; topics and parts of speech get indexes of their own.
-- The new ones are made first: readers have an index at every moment.

CREATE INDEX words_listed_created_at_id_idx ON words (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX words_listed_level_created_at_id_idx ON words (level, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX words_listed_topic_created_at_id_idx ON words (topic, created_at, id)
    WHERE deleted_at IS NULL AND topic IS NOT NULL;
CREATE INDEX words_listed_part_of_speech_created_at_id_idx ON words (part_of_speech, created_at, id)
    WHERE deleted_at IS NULL AND part_of_speech IS NOT NULL;

DROP INDEX words_created_at_id_idx;
DROP INDEX words_level_created_at_id_idx;
