-- Which vocabularies have been loaded: a start loads one only once, so that words an administrator deletes stay deleted.

CREATE TABLE vocabulary_loads (
    name text PRIMARY KEY,
    version text NOT NULL,
    words integer NOT NULL,
    loaded_at timestamptz(3) NOT NULL DEFAULT now()
);
