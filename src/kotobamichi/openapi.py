"""How operations are described in the OpenAPI document, beyond what the framework sees in a handler's signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    403: "Not allowed to this role or account.",
    404: "There is no such thing.",
    409: "There is one like it already.",
    413: "The body is too large.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "The database is being prepared or cannot be reached.",
}
TOKEN: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]


def integer(name: str, description: str, default: int) -> Parameter:
    schema = Schema(type=OpenAPIType.INTEGER, minimum=1, default=default)
    return Parameter(name, "query", description=description, schema=schema, required=False)


def text(name: str, description: str, one_of: Sequence[str] | None = None) -> Parameter:
    schema = Schema(type=OpenAPIType.STRING, enum=one_of)
    return Parameter(name, "query", description=description, schema=schema, required=False)


def describe(
    *parameters: Parameter,
    body: type[msgspec.Struct] | None = None,
    file: str | None = None,
    answer: Any = None,
    errors: Sequence[int] = (),
    signed_in: bool = False,
) -> type[Operation]:
    """An OpenAPI operation with these query parameters, this JSON body and these errors; `signed_in` needs a token.

    `file` describes what is uploaded as the field `file` of a multipart form.

    `answer` is the type of the answer's body where the handler gives its bytes.

    Parameters and bodies are read by our own code, for the wording of its refusals, so the framework does not know them.
    """
    listed = sorted({*errors, *((401,) if signed_in else ()), 429, 503})

    @dataclass
    class Described(Operation):
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
            if signed_in:
                self.security = TOKEN
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
