CREATE INDEX words_created_at_id_idx ON words (created_at, id);
CREATE INDEX words_level_created_at_id_idx ON words (level, created_at, id);

DROP INDEX words_listed_part_of_speech_created_at_id_idx;
DROP INDEX words_listed_topic_created_at_id_idx;
DROP INDEX words_listed_level_created_at_id_idx;
DROP INDEX words_listed_created_at_id_idx;
