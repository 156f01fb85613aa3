"""What every command of ours has in common: how options are read, how errors become a sentence and an exit code.

The standard library's argparse: a no-op deploy should cost little, and everything else takes longer to import
(docs/decisions/0013).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from michi.errors import MichiError, Terminated, UsageError

Arguments = argparse.Namespace
Subparsers: TypeAlias = "argparse._SubParsersAction[Any]"  # noqa: SLF001 -- the only name argparse has for it
Verb = Callable[[Arguments], int | None]


@dataclass(frozen=True)
class Option:
    """One argument of a verb: its names, and what argparse's add_argument takes."""

    names: tuple[str, ...]
    settings: dict[str, Any]


def option(*names: str, **settings: Any) -> Option:
    return Option(names, settings)


JSON = option("--json", action="store_true", help="JSON on standard output")


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print its usage and exit."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:].rstrip('.')}.", f"See `{self.prog} --help`.")


@dataclass(frozen=True)
class Entry:
    """A verb as it was registered."""

    function: Verb
    options: tuple[Option, ...]

    @property
    def help(self) -> str:
        return (self.function.__doc__ or "").strip()

    def fill(self, parser: argparse.ArgumentParser) -> None:
        for item in self.options:
            parser.add_argument(*item.names, **item.settings)
        parser.set_defaults(call=self.function)


class Commands:
    """A program with verbs: each is a function whose docstring is its help and which returns its exit code, None for 0.

    `entries` holds each verb by its name, for who writes a reference.
    """

    def __init__(self, program: str, description: str, version: str) -> None:
        self.program = program
        self.description = description
        self.version = version
        self.entries: dict[str, Entry] = {}

    def verb(self, name: str, *options: Option) -> Callable[[Verb], Verb]:
        """Registers a function as `program name`, or `program group name` for a name of two words."""

        def register(function: Verb) -> Verb:
            self.entries[name] = Entry(function, options)
            return function

        return register

    def call(self, arguments: Sequence[str]) -> int:
        parser, rest = self._parser_for(arguments)
        parsed = parser.parse_args(rest)
        function: Verb | None = getattr(parsed, "call", None)
        if function is None:
            getattr(parsed, "help_of", parser).print_help()
            return 0 if not arguments else UsageError.exit_code
        return function(parsed) or 0

    def _parser_for(self, arguments: Sequence[str]) -> tuple[Parser, Sequence[str]]:
        """The parser of the verb that is called, alone: a deploy need not pay for the options of all the others."""
        for words in (1, 2):
            name = " ".join(arguments[:words])
            if (entry := self.entries.get(name)) is not None:
                parser = Parser(prog=f"{self.program} {name}", description=entry.help)
                entry.fill(parser)
                return parser, arguments[words:]
        return self._parser(), arguments

    def _parser(self) -> Parser:
        """The parser of the whole program: for its help, and for what is no verb."""
        parser = Parser(prog=self.program, description=self.description)
        parser.add_argument("--version", action="version", version=f"{self.program} {self.version}")
        verbs = parser.add_subparsers(title="commands", metavar="COMMAND")
        groups: dict[str, Subparsers] = {}
        for name, entry in self.entries.items():
            *group, last = name.split()
            for word in group:
                if word not in groups:
                    inner = verbs.add_parser(word, help=f"see `{self.program} {word} --help`")
                    inner.set_defaults(help_of=inner)
                    groups[word] = inner.add_subparsers(title="commands", metavar="COMMAND")
            within = groups[group[0]] if group else verbs
            entry.fill(within.add_parser(last, help=entry.help.split("\n")[0].rstrip("."), description=entry.help))
        return parser


def main(commands: Commands) -> NoReturn:
    """Runs a program from the process's arguments and leaves with its exit code; no traceback reaches a person."""
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(_run(commands, sys.argv[1:]))


def _run(commands: Commands, arguments: Sequence[str]) -> int:
    name, as_json = commands.program, "--json" in arguments
    try:
        code = commands.call(arguments)
        sys.stdout.flush()  # so that what cannot be written is told here
        return code
    except MichiError as error:
        complain(error, name, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt as error:
        word, sent = ("terminated", signal.SIGTERM) if isinstance(error, Terminated) else ("interrupted", signal.SIGINT)
        print(f"{name}: {word}; what was not committed is undone.", file=sys.stderr)
        return 128 + sent
    except BrokenPipeError:
        _write_no_more()
        return 128 + signal.SIGPIPE
    except OSError as error:  # a full disk, a file without a right: nothing that a trace would help with
        if error.filename is None:
            _write_no_more()
        what = error.filename or "cannot write"
        complain(MichiError(f"{what}: {error.strerror or error}."), name, as_json=as_json)
        return MichiError.exit_code
    except Exception as error:
        if os.environ.get("MICHI_TRACE"):
            raise
        remedy = "This is a bug. MICHI_TRACE=1 shows where it happened."
        complain(MichiError(f"unexpected {type(error).__name__}: {error}", remedy), name, as_json=as_json)
        return MichiError.exit_code


def _write_no_more() -> None:
    """Python would try again at its end, and fail with a trace."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(error: MichiError, name: str, *, as_json: bool) -> None:
    """Tells an error to people, and as an event too where JSON is asked for: then people have been told nothing before."""
    if as_json:
        error.brief = ""
    print(error.as_text(name), file=sys.stderr)
    if as_json:
        from michi.report import emitter  # noqa: PLC0415 -- only here

        emitter(as_json=True)("error", **error.as_dict())


def show(facts: dict[str, Any], text: str, *, as_json: bool) -> None:
    """A verb's result: one JSON document, or text for people."""
    print(json.dumps(facts, ensure_ascii=False, default=str) if as_json else text)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise Terminated
