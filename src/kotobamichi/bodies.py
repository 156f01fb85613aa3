"""What clients send as JSON: read into msgspec structs, and refused with a message for every wrong field.

A struct says what is right: its types, `msgspec.Meta` bounds, and the marks below. The wording of refusals is that of the original
backend's validator, which clients show to people (contract, section 0). Texts are trimmed and brought into NFC before they are
looked at; an optional text that is then empty is None.
"""

from __future__ import annotations

import functools
import re
import types
import typing
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from litestar import Request

from kotobamichi.errors import BadRequest

Body = TypeVar("Body", bound=msgspec.Struct)

# A local part and a domain with a dot; what is stricter refuses addresses that exist. The mail proves the rest.
NEVER = r"\s@<>\",;:\\\x00-\x1f\x7f"
# Of ASCII, a domain has letters, digits and hyphens: with anything else the header of a mail to it would not be one line.
NEVER_IN_DOMAIN = NEVER + r"!#$%&'()*+/=?\[\]^_`{|}~."
EMAIL = re.compile(
    rf"[^{NEVER}]{{1,64}}@(?=.{{4,253}}\Z)(?:[^{NEVER_IN_DOMAIN}]{{1,63}}\.)+"
    rf"(?:xn--[A-Za-z0-9-]{{2,59}}|[^{NEVER_IN_DOMAIN}0-9]{{2,63}})"
)
LONGEST_TEXT = 10_000


@dataclass(frozen=True)
class Check:
    """A rule beyond type and length. `message` has `{name}` for the field."""

    holds: Callable[[str], bool]
    message: str


def is_email(text: str) -> bool:
    return EMAIL.fullmatch(text) is not None


def is_web_address(text: str) -> bool:
    """An http or https URL with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", text)
    except ValueError:
        return False


def check(rule: Check) -> msgspec.Meta:
    return msgspec.Meta(extra={"check": rule})


# As it was typed: trimming would change a password.
VERBATIM = msgspec.Meta(extra={"verbatim": True})

# What the OpenAPI document says where a rule is none of JSON Schema's own words: something besides space, and no NUL.
WORDED = msgspec.Meta(extra_json_schema={"pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"})
# Of a field that may be absent: what is blank is taken for that.
MAYBE_BLANK = msgspec.Meta(extra_json_schema={"pattern": r"^[^\x00]*$"})

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT), WORDED]
OptionalText = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT), MAYBE_BLANK]
Email = Annotated[
    str,
    msgspec.Meta(max_length=254, extra_json_schema={"format": "email"}),
    check(Check(is_email, "{name} must be an email")),
]
Password = Annotated[str, msgspec.Meta(min_length=6, max_length=1024), VERBATIM]
WebAddress = Annotated[
    str, msgspec.Meta(max_length=2048), check(Check(is_web_address, "{name} must be a valid URL with protocol"))
]


@dataclass(frozen=True)
class Field:
    """One field of a body, as the checks need it: what may be absent or null is `optional`."""

    name: str
    attribute: str
    kind: Any
    optional: bool
    required: bool
    least: int
    most: int
    check: Check | None
    verbatim: bool
    item: Field | None = None


@functools.cache
def fields_of(body: type[msgspec.Struct]) -> tuple[Field, ...]:
    hints = typing.get_type_hints(body, include_extras=True)
    return tuple(
        _field(item.encode_name, item.name, hints[item.name], required=item.required)
        for item in msgspec.structs.fields(body)
    )


def _field(name: str, attribute: str, hint: Any, *, required: bool) -> Field:
    optional = False
    metas: list[msgspec.Meta] = []
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *extra = get_args(hint)
            metas += [meta for meta in extra if isinstance(meta, msgspec.Meta)]
        elif origin in {Union, types.UnionType}:
            rest = [part for part in get_args(hint) if part not in {type(None), msgspec.UnsetType}]
            optional = optional or type(None) in get_args(hint)
            assert len(rest) == 1, f"{name}: a field has one type"
            hint = rest[0]
        else:
            break
    extras = [meta.extra for meta in metas if meta.extra]
    return Field(
        name=name,
        attribute=attribute,
        kind=list if origin is list else hint,
        optional=optional,
        required=required,
        least=next((meta.min_length for meta in metas if meta.min_length is not None), 0),
        most=next((meta.max_length for meta in metas if meta.max_length is not None), LONGEST_TEXT),
        check=next((extra["check"] for extra in extras if "check" in extra), None),
        verbatim=any(extra.get("verbatim") for extra in extras),
        item=_field(name, "", get_args(hint)[0], required=True) if origin is list else None,
    )


async def read_body(request: Request[Any, Any, Any], body: type[Body], ignored: frozenset[str] = frozenset()) -> Body:
    """The request's JSON as `body`. Raises BadRequest with every message there is; `ignored` names what is passed over."""
    content = await request.body()
    kind = request.headers.get("content-type")
    if content and kind and not is_json(kind):
        raise BadRequest("The request body must be JSON, with Content-Type: application/json")
    return parse_body(content, body, ignored)


def is_json(content_type: str) -> bool:
    """Whether a Content-Type says JSON; a form's does not, and neither does what a page of any origin may send unasked."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def parse_body(content: bytes, body: type[Body], ignored: frozenset[str] = frozenset()) -> Body:
    """Like `read_body`, of bytes."""
    messages: list[str] = []
    values = read_object(decode_object(content), body, ignored, "", messages)
    if messages:
        raise BadRequest(messages)
    return body(**values)


def decode_object(content: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises BadRequest for anything else; no body at all is an empty object."""
    try:
        given = msgspec.json.decode(content) if content.strip() else {}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise BadRequest("The request body is not valid JSON") from None
    if not isinstance(given, dict):
        raise BadRequest("The request body must be a JSON object")
    return given


def read_object(
    given: dict[str, Any], body: type[msgspec.Struct], ignored: frozenset[str], path: str, messages: list[str]
) -> dict[str, Any]:
    """The values for the struct, by attribute; what is wrong is added to `messages`."""
    fields = fields_of(body)
    known = {field.name for field in fields} | ignored
    messages.extend(f"{path}property {name[:100]} should not exist" for name in given if name not in known)
    values = {}
    for field in fields:
        if field.name in given:
            value = _value(given[field.name], field, path + field.name, messages)
            if value is not None or field.optional:
                values[field.attribute] = value
        elif field.required:
            _value(None, field, path + field.name, messages)
    return values


def _value(value: Any, field: Field, name: str, messages: list[str]) -> Any:
    """The value as the struct gets it; None where it is absent or wrong."""
    if value is None and field.optional:
        return None
    if isinstance(field.kind, type) and issubclass(field.kind, msgspec.Struct):
        return _object(value, field, name, messages)
    if get_origin(field.kind) is Literal:
        return _choice(value, field, name, messages)
    return READERS[field.kind](value, field, name, messages)


def _object(value: Any, field: Field, name: str, messages: list[str]) -> Any:
    if not isinstance(value, dict):
        messages.append(f"{name} must be an object")
        return None
    before = len(messages)
    values = read_object(value, field.kind, frozenset(), f"{name}.", messages)
    return field.kind(**values) if len(messages) == before else None


def _boolean(value: Any, _field: Field, name: str, messages: list[str]) -> bool | None:
    if isinstance(value, bool):
        return value
    messages.append(f"{name} must be a boolean value")
    return None


def _text(value: Any, field: Field, name: str, messages: list[str]) -> str | None:
    if isinstance(value, str) and not field.verbatim:
        value = clean(value)
        if not value and field.optional:
            return None
    text = value if isinstance(value, str) else ""
    before = len(messages)
    if field.check is not None and not field.check.holds(text):
        messages.append(field.check.message.format(name=name))
    if field.least > 1 and len(text) < field.least:
        messages.append(f"{name} must be longer than or equal to {field.least} characters")
    if field.least == 1 and not text and (value is None or isinstance(value, str)):
        messages.append(f"{name} should not be empty")
    if len(text) > field.most:
        messages.append(f"{name} must be shorter than or equal to {field.most} characters")
    if "\0" in text:
        messages.append(f"{name} must not contain a NUL character")
    if not isinstance(value, str):
        messages.append(f"{name} must be a string")
    return text if len(messages) == before else None


def _choice(value: Any, field: Field, name: str, messages: list[str]) -> str | None:
    value = clean(value) if isinstance(value, str) else value
    if value == "" and field.optional:
        return None
    choices = get_args(field.kind)
    if isinstance(value, str) and value in choices:
        return value
    messages.append(f"{name} must be one of {','.join(choices)}")
    return None


def _list(value: Any, field: Field, name: str, messages: list[str]) -> list[Any] | None:
    assert field.item is not None
    if not isinstance(value, list):
        if field.item.kind is str:
            messages.append(f"each value in {name} must be a string")
        if field.least and value is None:
            messages.append(f"{name} should not be empty")
        messages.append(f"{name} must be an array")
        return None
    if len(value) < field.least:
        messages.append(f"{name} should not be empty")
    if len(value) > field.most:
        messages.append(f"{name} must contain no more than {field.most} elements")
        return None
    if field.item.kind is str:
        if not all(isinstance(item, str) for item in value):
            messages.append(f"each value in {name} must be a string")
            return None
        return [clean(item) for item in value]
    return [_value(item, field.item, f"{name}.{index}", messages) for index, item in enumerate(value)]


READERS: dict[Any, Callable[[Any, Field, str, list[str]], Any]] = {str: _text, bool: _boolean, list: _list}


def clean(text: str) -> str:
    """Trimmed, and in NFC: the one spelling of what looks the same."""
    return unicodedata.normalize("NFC", text.strip())
