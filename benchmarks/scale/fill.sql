-- Fills a database that has our schema with words, learners, quizzes, attempts and progress, all consistent with each other:
-- kept totals are what counting would give. Every value follows from its number, so two fills of one size are the same.
-- psql variables: words, learners, attempts (of each learner), quizzes, public_quizzes, words_each.

-- Foreign keys and triggers are off for this session: what they check and keep is made right here, once, and not row by row.
SET session_replication_role = replica;
SET synchronous_commit = off;
SET maintenance_work_mem = '1GB';

-- UUIDs of version 7 that sort by kind and number: their time grows with the number.
CREATE FUNCTION pg_temp.id(kind integer, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(1735689600000 + number), 12, '0') || '7' || lpad(to_hex(kind), 3, '0') || '8' || lpad(to_hex(number), 15, '0'))::uuid
$$;

CREATE TEMPORARY TABLE dropped AS
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
FROM pg_index WHERE indrelid IN ('attempts'::regclass, 'progress'::regclass, 'words'::regclass)
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);
SELECT format('DROP INDEX %s', name) FROM dropped \gexec

-- Words beyond the vocabulary that is there.
INSERT INTO words (id, hiragana, kanji, english, level, content_hash, created_at, updated_at)
SELECT pg_temp.id(1, n), 'ことば' || n, '言葉' || n, 'to speak of ' || n, 'N' || 1 + n % 5,
    encode(sha256(('ことば' || n || '|言葉' || n || '|to speak of ' || n)::bytea), 'hex'),
    timestamptz '2026-01-01' + n * interval '1 millisecond', timestamptz '2026-01-01' + n * interval '1 millisecond'
FROM generate_series(1, greatest(:words - (SELECT count(*) FROM words), 0)) AS n;

UPDATE word_totals t SET total = (SELECT count(*) FROM words w WHERE coalesce(w.level, '') = t.level AND w.deleted_at IS NULL);

INSERT INTO users (id, email, email_verified_at, created_at, updated_at)
SELECT pg_temp.id(2, n), 'learner-' || n || '@example.org', '2026-01-01', '2026-01-01', '2026-01-01'
FROM generate_series(0, :learners - 1) AS n;

-- The quizzes are made by learners, turn by turn; the first ones are public.
INSERT INTO quizzes (id, title, is_public, created_by_id, words_total, created_at, updated_at)
SELECT pg_temp.id(3, n), 'Quiz ' || n, n < :public_quizzes, pg_temp.id(2, n % :learners), :words_each, t, t
FROM generate_series(0, :quizzes - 1) AS n, LATERAL (SELECT timestamptz '2026-02-01' + n * interval '1 second' AS t) at;

CREATE TEMPORARY TABLE some_words AS
SELECT id, row_number() OVER (ORDER BY created_at, id) - 1 AS n FROM words ORDER BY created_at, id LIMIT 8000;
CREATE INDEX ON some_words (n);
ANALYZE some_words;

INSERT INTO quiz_words (id, quiz_id, word_id, position)
SELECT pg_temp.id(4, quiz * :words_each + place), pg_temp.id(3, quiz), w.id, place
FROM generate_series(0, :quizzes - 1) AS quiz, generate_series(0, :words_each - 1) AS place, some_words w
WHERE w.n = (quiz * :words_each + place) % 8000;

-- What can be answered: the first k words right, for each k.
CREATE TEMPORARY TABLE outcomes AS
SELECT k, (200 * k + :words_each) / (2 * :words_each) AS score,
    ARRAY(SELECT CASE WHEN i <= k THEN 'ことば' ELSE '' END FROM generate_series(1, :words_each) AS i) AS answers,
    ARRAY(SELECT i <= k FROM generate_series(1, :words_each) AS i) AS correct
FROM generate_series(0, :words_each) AS k;

-- A learner takes five quizzes, one after the other, over and over. All learners take their first, then all their second, and so on.
INSERT INTO attempts (id, user_id, quiz_id, score, answers, correct, completed_at, created_at, updated_at)
SELECT pg_temp.id(5, round::bigint * :learners + n), pg_temp.id(2, n), pg_temp.id(3, (n * 7 + round % 5) % :public_quizzes),
    score, answers, correct, t, t, t
FROM generate_series(0, :attempts - 1) AS round, generate_series(0, :learners - 1) AS n, outcomes,
    LATERAL (SELECT timestamptz '2026-03-01' + (round::bigint * :learners + n) * interval '1 millisecond' AS t) at
WHERE k = (n * 31 + round * 17) % (:words_each + 1);

INSERT INTO progress (id, user_id, word_id, mastery_level, last_reviewed_at, next_review_at, created_at, updated_at)
SELECT pg_temp.id(6, (n::bigint * 5 + taken) * :words_each + place), pg_temp.id(2, n), q.word_id, (n + place) % 11,
    '2026-04-01', timestamptz '2026-04-01' + (n + place) % 11 * interval '1 day', '2026-03-01', '2026-04-01'
FROM generate_series(0, :learners - 1) AS n, generate_series(0, least(5, :attempts) - 1) AS taken, quiz_words q,
    LATERAL (SELECT q.position AS place) p
WHERE q.quiz_id = pg_temp.id(3, (n * 7 + taken) % :public_quizzes);

INSERT INTO learner_totals (user_id, attempts, score_sum, highest_score, lowest_score, quizzes_taken, words_learned)
SELECT a.user_id, a.attempts, a.sum, a.highest, a.lowest, least(5, :attempts), p.learned
FROM (SELECT user_id, count(*) AS attempts, sum(score), max(score) AS highest, min(score) AS lowest FROM attempts GROUP BY 1) a
JOIN (SELECT user_id, count(*) FILTER (WHERE mastery_level >= 5) AS learned FROM progress GROUP BY 1) p USING (user_id);

INSERT INTO quiz_attempt_totals (quiz_id, shard, total)
SELECT quiz_id, shard, count(*) FROM (SELECT quiz_id, (row_number() OVER ()) % 16 AS shard FROM attempts) a GROUP BY 1, 2;

UPDATE revisions SET revision = revision + 1;

SELECT definition FROM dropped \gexec
