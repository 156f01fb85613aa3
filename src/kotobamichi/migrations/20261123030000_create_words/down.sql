DROP TABLE words;
DROP TABLE word_totals;
DROP FUNCTION words_keep_totals();
