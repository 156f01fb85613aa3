"""michi (道): a migration engine for PostgreSQL that is safe enough to be the first container of every deploy."""

__version__ = "0.1.0"
