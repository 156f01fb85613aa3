DROP TABLE vocabulary_loads;
