SELECT coalesce(sum(total), -1) = (SELECT count(*) FROM words WHERE deleted_at IS NULL) FROM word_totals;
