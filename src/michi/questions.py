"""Asks a person, where there is one: at a terminal, and never when JSON is wanted."""

from __future__ import annotations

from typing import TextIO


class Questions:
    """`possible` is False where nobody could answer; then nothing may be asked."""

    def __init__(self, stdin: TextIO, stderr: TextIO, *, as_json: bool) -> None:
        self._stdin = stdin
        self._stderr = stderr
        self.possible = not as_json and stdin.isatty() and stderr.isatty()

    def confirm(self, question: str) -> bool:
        """A yes, typed. Everything else, the end of input included, is a no."""
        return self.answer(f"{question} [y/N] ").lower() in {"y", "yes"}

    def answer(self, prompt: str) -> str:
        assert self.possible
        print(prompt, end="", file=self._stderr, flush=True)
        return self._stdin.readline().strip()
