-- Quizzes, and what learners did with them.

CREATE TABLE quizzes (
    id uuid PRIMARY KEY,
    title text NOT NULL CHECK (title <> ''),
    description text,
    is_public boolean NOT NULL DEFAULT false,
    created_by_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    words_total integer NOT NULL CHECK (words_total > 0),
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now(),
    deleted_at timestamptz(3)
);

COMMENT ON COLUMN quizzes.deleted_at IS 'A deleted quiz is shown to nobody, but the history of those who took it still names it';

CREATE INDEX quizzes_public_created_at_id_idx ON quizzes (created_at, id) WHERE is_public AND deleted_at IS NULL;
CREATE INDEX quizzes_created_by_id_created_at_id_idx ON quizzes (created_by_id, created_at, id);

CREATE TRIGGER quizzes_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON quizzes
FOR EACH STATEMENT EXECUTE FUNCTION note_change('quizzes');

-- The questions, in the order in which they were chosen. A quiz's words never change.
CREATE TABLE quiz_words (
    id uuid PRIMARY KEY,
    quiz_id uuid NOT NULL REFERENCES quizzes ON DELETE CASCADE,
    word_id uuid NOT NULL REFERENCES words,
    position integer NOT NULL CHECK (position >= 0),
    CONSTRAINT quiz_words_quiz_id_position_key UNIQUE (quiz_id, position),
    CONSTRAINT quiz_words_quiz_id_word_id_key UNIQUE (quiz_id, word_id)
);

CREATE INDEX quiz_words_word_id_idx ON quiz_words (word_id);

-- How often a quiz was taken: kept, because counting attempts would read all of them. In shards, because many may take one quiz at once.
CREATE TABLE quiz_attempt_totals (
    quiz_id uuid NOT NULL REFERENCES quizzes ON DELETE CASCADE,
    shard smallint NOT NULL CHECK (shard BETWEEN 0 AND 15),
    total bigint NOT NULL CHECK (total >= 0),
    PRIMARY KEY (quiz_id, shard)
) WITH (fillfactor = 70);

-- `answers` and `correct` are in the order of the quiz's words.
CREATE TABLE attempts (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    quiz_id uuid NOT NULL REFERENCES quizzes ON DELETE CASCADE,
    score smallint NOT NULL CHECK (score BETWEEN 0 AND 100),
    answers text[] NOT NULL,
    correct boolean[] NOT NULL,
    completed_at timestamptz(3) NOT NULL DEFAULT now(),
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT attempts_answers_check CHECK (cardinality(answers) = cardinality(correct))
);

CREATE INDEX attempts_user_id_created_at_id_idx ON attempts (user_id, created_at, id);
CREATE INDEX attempts_quiz_id_user_id_idx ON attempts (quiz_id, user_id);

-- How well a learner knows a word.
CREATE TABLE progress (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    word_id uuid NOT NULL REFERENCES words,
    mastery_level smallint NOT NULL CHECK (mastery_level BETWEEN 0 AND 10),
    last_reviewed_at timestamptz(3) NOT NULL,
    next_review_at timestamptz(3) NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    updated_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT progress_user_id_word_id_key UNIQUE (user_id, word_id)
) WITH (fillfactor = 85);

CREATE INDEX progress_word_id_idx ON progress (word_id);

-- A learner's numbers, kept in the transaction of each attempt: statistics are one row, however long the history.
CREATE TABLE learner_totals (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    attempts bigint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    score_sum bigint NOT NULL DEFAULT 0 CHECK (score_sum >= 0),
    highest_score smallint,
    lowest_score smallint,
    quizzes_taken integer NOT NULL DEFAULT 0 CHECK (quizzes_taken >= 0),
    words_learned integer NOT NULL DEFAULT 0 CHECK (words_learned >= 0)
) WITH (fillfactor = 70);
