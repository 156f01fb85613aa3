DROP TRIGGER words_changed ON words;
DROP FUNCTION note_change();
DROP FUNCTION bump_revision(text);
DROP TABLE revisions;
