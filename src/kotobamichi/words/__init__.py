"""Words: lists, search, single words, and the vocabulary they come from."""
