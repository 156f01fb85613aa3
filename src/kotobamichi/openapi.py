"""How operations are described in the OpenAPI document, beyond what the framework sees in a handler's signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat

# What the errors of contract section 0 are, in words.
ERRORS = {
    400: "The request is wrong: a message for every wrong field, or one sentence.",
    401: "No token that counts.",
    403: "Not allowed to this role or account, or sent by a page of an origin that is not allowed.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "There is one like it already.",
    413: "The body is too large.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "The database is being prepared, cannot be reached or is too busy.",
}
# What every route may answer, and what one that takes a body may.
ALWAYS = (429, 503)
WITH_BODY = (400, 403, 408, 413)
# The parameter that goes on after the last thing seen.
CURSOR = "after"
# An empty parameter is as good as none.
EMPTY = Schema(type=OpenAPIType.STRING, enum=[""])
TOKEN: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]


def integer(name: str, description: str, default: int) -> Parameter:
    schema = Schema(any_of=[Schema(type=OpenAPIType.INTEGER, minimum=1), EMPTY], default=default)
    return Parameter(name, "query", description=description, schema=schema, required=False)


def text(name: str, description: str, one_of: Sequence[str] | None = None) -> Parameter:
    schema = Schema(type=OpenAPIType.STRING, enum=[*one_of, ""] if one_of else None)
    if name == CURSOR:
        schema = Schema(any_of=[Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID), EMPTY])
    return Parameter(name, "query", description=description, schema=schema, required=False)


def describe(
    *parameters: Parameter,
    body: type[msgspec.Struct] | None = None,
    file: str | None = None,
    answer: Any = None,
    errors: Sequence[int] = (),
    signed_in: bool = False,
    role: Literal["ADMIN"] | None = None,
) -> type[Operation]:
    """An OpenAPI operation with these query parameters, this JSON body and these errors; `signed_in` needs a token.

    `role` needs one of an account with that role, and the document says so as `x-role`. `file` describes what is uploaded as the
    field `file` of a multipart form.
    `answer` is the type of the answer's body where the handler gives its bytes.

    Parameters and bodies are read by our own code, for the wording of its refusals, so the framework does not know them.
    """
    needs_token = signed_in or role is not None
    known = {*errors, *((401,) if needs_token else ()), *((403,) if role else ()), *ALWAYS}

    @dataclass
    class Described(Operation):
        x_role: str | None = field(default=role, metadata={"alias": "x-role"})

        def __post_init__(self) -> None:
            self.parameters = [*(self.parameters or []), *parameters] or None
            if body is not None:
                content = {"application/json": OpenAPIMediaType(schema=schema_of(body))}
                self.request_body = RequestBody(content=content, required=True)
            elif file is not None:
                form = {"multipart/form-data": OpenAPIMediaType(schema=_form_with_file(file))}
                self.request_body = RequestBody(content=form, required=True)
            if answer is not None:
                for code, success in (self.responses or {}).items():
                    if code.startswith("2") and isinstance(success, OpenAPIResponse):
                        success.content = {"application/json": OpenAPIMediaType(schema=schema_of(answer))}
            if needs_token:
                self.security = TOKEN
            takes_body = body is not None or self.request_body is not None or "201" in (self.responses or {})
            listed = sorted(known | set(WITH_BODY if takes_body else ()))
            self.responses = {
                **{code: answer for code, answer in (self.responses or {}).items() if code != "400" or 400 in listed},
                **{str(status): _error(status) for status in listed},
            }

    return Described


def _error(status: int) -> OpenAPIResponse:
    message = Schema(
        one_of=[
            Schema(type=OpenAPIType.STRING),
            Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.STRING)),
        ]
    )
    schema = Schema(
        type=OpenAPIType.OBJECT,
        properties={
            "message": message,
            "error": Schema(type=OpenAPIType.STRING),
            "statusCode": Schema(type=OpenAPIType.INTEGER),
        },
        required=["message", "statusCode"],
    )
    return OpenAPIResponse(description=ERRORS[status], content={"application/json": OpenAPIMediaType(schema=schema)})


def _form_with_file(description: str) -> Schema:
    file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description=description)
    return Schema(type=OpenAPIType.OBJECT, properties={"file": file}, required=["file"])


def schema_of(struct: Any) -> Schema:
    """The JSON schema of a struct or a list of structs, with everything that it refers to inside it."""
    (schema,), components = msgspec.json.schema_components([struct], ref_template="{name}")
    return _schema(schema, components)


NAMES = {
    "type": "type", "title": "title", "description": "description", "enum": "enum", "required": "required", "default": "default",
    "format": "format", "pattern": "pattern",
    "minLength": "min_length", "maxLength": "max_length", "minItems": "min_items", "maxItems": "max_items",
}  # fmt: skip


def _schema(given: dict[str, Any], components: dict[str, Any]) -> Schema:
    if "$ref" in given:
        return _schema(components[given["$ref"]], components)
    values: dict[str, Any] = {NAMES[name]: value for name, value in given.items() if name in NAMES}
    if "properties" in given:
        values["properties"] = {name: _schema(part, components) for name, part in given["properties"].items()}
        values["additional_properties"] = False
    if "items" in given:
        values["items"] = _schema(given["items"], components)
    if "anyOf" in given:
        values["any_of"] = [_schema(part, components) for part in given["anyOf"]]
    return Schema(**values)
