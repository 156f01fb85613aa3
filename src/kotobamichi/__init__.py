"""KotobaMichi (言葉道): the HTTP API for learning Japanese vocabulary, and the command that starts it."""

from michi import __version__

__all__ = ["__version__"]
