SELECT coalesce(sum(total), -1) = (SELECT count(*) FROM words) FROM word_totals;
