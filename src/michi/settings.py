"""Where database and migrations are; the only reader of michi's environment. Connecting lives in database.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from urllib.parse import parse_qsl, unquote

from michi.errors import ConfigurationAmbiguous, ConfigurationInvalid, ConfigurationMissing

# libpq's connection keywords (PostgreSQL 18 manual, 34.1.2) that a URL may carry as parameters.
LIBPQ_PARAMETERS = frozenset(
    {
        "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname", "gssencmode", "gsslib",
        "host", "hostaddr", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
        "load_balance_hosts", "options", "passfile", "password", "port", "require_auth", "service", "sslcert",
        "sslcertmode", "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslmode", "sslnegotiation", "sslpassword",
        "sslrootcert", "sslsni", "ssl_max_protocol_version", "ssl_min_protocol_version", "target_session_attrs",
        "tcp_user_timeout", "user",
    }
)  # fmt: skip
# What Prisma writes into URLs and libpq does not know; none of it changes where the database is.
PRISMA_PARAMETERS = frozenset(
    {
        "connection_limit", "pgbouncer", "pool_timeout", "socket_timeout", "sslaccept", "sslidentity",
        "statement_cache_size",
    }
)  # fmt: skip
URL = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://(?P<rest>.*)", re.DOTALL)
HOSTS = re.compile(
    r"(?:(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:,@/?#\s]*)(?::\d*)?)(?:,(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:,@/?#\s]*)(?::\d*)?)*"
)
PARTS = ("HOST", "PORT", "NAME", "USER", "PASSWORD")
WAYS = "MIGRATION_DATABASE_URL, DATABASE_URL, DATABASE_HOST/PORT/NAME/USER/PASSWORD or DATABASE_SECRET_DIR"


@dataclass(frozen=True)
class Target:
    """A database and the schema in it that is migrated.

    `parameters` are libpq keywords. `source` names the setting it came from. The password is in no text of this class.
    """

    parameters: Mapping[str, str] = field(repr=False)
    schema: str = "public"
    source: str = ""

    @property
    def dbname(self) -> str:
        return self.parameters.get("dbname") or self.parameters.get("user") or ""

    def describe(self) -> str:
        """`user@host:port/db`, the form in which a database is named to people."""
        host = self.parameters.get("host") or self.parameters.get("hostaddr") or "local socket"
        port = self.parameters.get("port") or "5432"
        user = self.parameters.get("user")
        address = f"{host}/" if host.startswith("/") else f"{host}:{port}/"
        return f"{user + '@' if user else ''}{address}{self.dbname}"

    def with_database(self, dbname: str) -> Target:
        return Target({**self.parameters, "dbname": dbname}, self.schema, self.source)


def parse_url(url: str, source: str) -> Target:
    """Reads `postgresql://user:password@host:port/db?schema=x&sslmode=y`.

    The password may hold raw reserved characters or percent-escapes. Errors name the source and never quote the value.
    """
    match = URL.fullmatch(url.strip())
    if match is None:
        raise ConfigurationInvalid(
            f"{source} is not a PostgreSQL URL.",
            "Write it as postgresql://user:password@host:5432/database.",
            source=source,
        )
    rest = match["rest"]
    pieces = _split_strictly(rest) or _split_at_last_at_sign(rest)
    if pieces is None:
        raise ConfigurationInvalid(
            f"{source} cannot be read as a PostgreSQL URL.",
            "Write it as postgresql://user:password@host:5432/database, with special characters percent-encoded.",
            source=source,
        )
    user, password, hosts, dbname, query = pieces
    parameters: dict[str, str] = {}
    schema = "public"
    # A plus sign is itself here, as in libpq; only in a web form is it a space.
    for key, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        if key == "schema":
            schema = value or schema
        elif key in LIBPQ_PARAMETERS:
            parameters[key] = value
        elif key not in PRISMA_PARAMETERS:
            raise ConfigurationInvalid(
                f"{source} has a parameter that PostgreSQL does not know.",
                "Known are schema and libpq's connection keywords, such as sslmode and connect_timeout.",
                source=source,
            )
    host_list, port_list = _split_hosts(hosts)
    # `a,b` has ports of `,`: two hosts, none of which names a port.
    explicit = {"host": ",".join(host_list).strip(","), "port": ",".join(port_list) if any(port_list) else ""}
    explicit |= {"dbname": unquote(dbname), "user": unquote(user), "password": unquote(password)}
    parameters |= {key: value for key, value in explicit.items() if value}
    return Target(parameters, schema, source)


def _split_strictly(rest: str) -> tuple[str, str, str, str, str] | None:
    """By RFC 3986; None where the pieces make no sense, as when a password holds a raw `/`, `?` or `#`."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path, _, query = rest[len(authority) :].partition("?")
    userinfo, _, hosts = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    keys = [pair.partition("=")[0] for pair in query.split("&") if pair]
    known = LIBPQ_PARAMETERS | PRISMA_PARAMETERS | {"schema"}
    if "@" in rest and "@" not in authority:
        return None
    if (
        not HOSTS.fullmatch(hosts)
        or "@" in path
        or "#" in path
        or ("@" in query and any(key not in known for key in keys))
    ):
        return None
    return user, password, hosts, path.removeprefix("/"), query


def _split_at_last_at_sign(rest: str) -> tuple[str, str, str, str, str] | None:
    userinfo, found, tail = rest.rpartition("@")
    match = re.fullmatch(r"(?P<hosts>[^/?#]*)(?:/(?P<dbname>[^?#]*))?(?:\?(?P<query>[^#]*))?", tail)
    if not found or match is None or not HOSTS.fullmatch(match["hosts"]):
        return None
    user, _, password = userinfo.partition(":")
    return user, password, match["hosts"], match["dbname"] or "", match["query"] or ""


def _split_hosts(hosts: str) -> tuple[list[str], list[str]]:
    names, ports = [], []
    for item in hosts.split(",") if hosts else []:
        match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?", item)
        names.append(unquote(match[1]).strip("[]") if match else item)
        ports.append((match[2] or "") if match else "")
    return names, ports


def find_target(environ: Mapping[str, str], stdin: TextIO | None = None) -> Target:
    """The database to work on: from `stdin` when given, else from the first of the known settings that is there.

    MIGRATION_DATABASE_URL stands beside the others on purpose (theirs may go through a pooler, the migrations' must
    not); any other two at once are an error, because nobody could say which one was meant.
    """
    if stdin is not None:
        return parse_url(_one_line(stdin.read(), "standard input"), "standard input")
    for name in ("MIGRATION_DATABASE_URL", "DATABASE_URL"):
        value = read_secret(environ, name)
        if value or environ.get(f"{name}_FILE"):  # an empty file is a mistake, not a reason to look elsewhere
            if name == "DATABASE_URL":
                _refuse_second_way(environ, name)
            return parse_url(value or "", name)
    parts = {part: read_secret(environ, f"DATABASE_{part}") for part in PARTS}
    secret_dir = environ.get("DATABASE_SECRET_DIR")
    if any(parts.values()):
        if secret_dir:
            raise _ambiguous("DATABASE_HOST/PORT/NAME/USER/PASSWORD", "DATABASE_SECRET_DIR")
        return _target_from_parts(parts, environ, "DATABASE_HOST/PORT/NAME/USER/PASSWORD")
    if secret_dir:
        return _target_from_directory(Path(secret_dir), environ)
    raise ConfigurationMissing("No database is configured.", f"Set {WAYS}, or pass --database-url-stdin.")


def read_secret(environ: Mapping[str, str], name: str) -> str | None:
    """The value of NAME, or the content of the file that NAME_FILE names, less exactly one trailing newline."""
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if value and path:
        raise _ambiguous(name, f"{name}_FILE")
    return _read_file(Path(path), f"{name}_FILE") if path else value


def _read_file(path: Path, source: str) -> str:
    try:
        return _less_one_newline(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        raise ConfigurationInvalid(
            f"{source} names a file that cannot be read: {path}: {reason}.",
            "Check the path and its permissions.",
            source=source,
        ) from None


def _less_one_newline(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\r\n") else text.removesuffix("\n")


def _one_line(text: str, source: str) -> str:
    if not text.strip():
        raise ConfigurationMissing(
            f"No database URL arrived on {source}.", "Pipe the URL into the command.", source=source
        )
    return _less_one_newline(text)


def _refuse_second_way(environ: Mapping[str, str], chosen: str) -> None:
    for part in PARTS:
        for name in (f"DATABASE_{part}", f"DATABASE_{part}_FILE"):
            if environ.get(name):
                raise _ambiguous(chosen, name)
    if environ.get("DATABASE_SECRET_DIR"):
        raise _ambiguous(chosen, "DATABASE_SECRET_DIR")


def _ambiguous(first: str, second: str) -> ConfigurationAmbiguous:
    return ConfigurationAmbiguous(f"{first} and {second} are both set.", "Keep one of them and unset the other.")


def _target_from_parts(parts: Mapping[str, str | None], environ: Mapping[str, str], source: str) -> Target:
    keywords = {"HOST": "host", "PORT": "port", "NAME": "dbname", "USER": "user", "PASSWORD": "password"}
    parameters = {keywords[part]: value for part, value in parts.items() if value}
    if sslmode := environ.get("DATABASE_SSLMODE"):
        parameters["sslmode"] = sslmode
    return Target(parameters, environ.get("DATABASE_SCHEMA") or "public", source)


def _target_from_directory(directory: Path, environ: Mapping[str, str]) -> Target:
    if not directory.is_dir():
        raise ConfigurationInvalid(
            f"DATABASE_SECRET_DIR names a folder that is not there: {directory}.", "Check the mount of the secret."
        )
    names = {"HOST": "host", "PORT": "port", "NAME": "dbname", "USER": "username", "PASSWORD": "password"}
    parts = {
        part: _read_file(directory / name, "DATABASE_SECRET_DIR") if (directory / name).exists() else None
        for part, name in names.items()
    }
    if not any(parts.values()):
        raise ConfigurationMissing(
            f"DATABASE_SECRET_DIR holds none of host, port, dbname, username, password: {directory}.",
            "Check the keys of the secret.",
        )
    return _target_from_parts(parts, environ, "DATABASE_SECRET_DIR")


def find_migrations(environ: Mapping[str, str], option: Path | None, here: Path) -> Path:
    """The folder: the option, else MICHI_MIGRATIONS, else `[tool.michi]` of pyproject.toml, else `migrations`."""
    if option is not None:
        return option
    if value := environ.get("MICHI_MIGRATIONS"):
        return Path(value)
    configured = _read_pyproject(here / "pyproject.toml").get("migrations")
    return here / (configured if isinstance(configured, str) else "migrations")


def find_models(environ: Mapping[str, str], option: str | None, here: Path) -> str | None:
    """`module:attribute` of the models: the option, else MICHI_MODELS, else `[tool.michi]` of pyproject.toml, else None."""
    return option or environ.get("MICHI_MODELS") or _configured(here, "models")


def find_seed(here: Path) -> str | None:
    """The command that fills a new database with data for development: `seed` of `[tool.michi]`."""
    return _configured(here, "seed")


def find_known_targets(environ: Mapping[str, str], here: Path) -> list[Target]:
    """Other databases that are asked whether a table is empty: `known` of `[tool.michi]` names the settings with their URLs."""
    names = _read_pyproject(here / "pyproject.toml").get("known")
    listed = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return [parse_url(url, name) for name in listed if (url := read_secret(environ, name))]


def is_production(environ: Mapping[str, str]) -> bool:
    """APP_ENV=production, in whichever case."""
    return environ.get("APP_ENV", "").strip().lower() == "production"


def libpq_environment(target: Target) -> dict[str, str]:
    """The target as the variables that libpq and every program on it reads, for a command of the user's."""
    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD",
             "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}  # fmt: skip
    found = {variable: target.parameters[key] for key, variable in names.items() if key in target.parameters}
    return found | ({"PGOPTIONS": f"-c search_path={target.schema}"} if target.schema != "public" else {})


def _configured(here: Path, key: str) -> str | None:
    value = _read_pyproject(here / "pyproject.toml").get(key)
    return value if isinstance(value, str) else None


def _read_pyproject(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    import tomllib  # noqa: PLC0415 -- a deploy from an image has no pyproject.toml and need not pay for this

    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("michi", {}))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationInvalid(f"{path} cannot be read: {error}.", "Mend the file, or pass --migrations.") from None


DURATION = re.compile(r"(?P<amount>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>us|ms|s|min|m|h|d)")
SECONDS_PER_UNIT = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str, source: str) -> float:
    """Seconds in `500ms`, `3s`, `10min`, `10m`, `1h`.

    A number without a unit is refused, because PostgreSQL reads it as milliseconds.
    """
    match = DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigurationInvalid(
            f"{source} is not a duration.",
            "Write a number and its unit, such as 500ms, 3s, 10min or 1h.",
            source=source,
        )
    return float(match["amount"]) * SECONDS_PER_UNIT[match["unit"]]
