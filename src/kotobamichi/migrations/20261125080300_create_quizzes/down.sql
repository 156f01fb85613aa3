DROP TABLE learner_totals;
DROP TABLE progress;
DROP TABLE attempts;
DROP TABLE quiz_attempt_totals;
DROP TABLE quiz_words;
DROP TABLE quizzes;
