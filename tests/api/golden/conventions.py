"""Section 0 of the contract: what holds for every route."""

from __future__ import annotations

from tests.api.golden import INSTANT, TEXT, Case, refusal

CASES = [
    Case("the root greets", "nobody", "GET", "/v1", None, 200, TEXT),
    Case("alive", "nobody", "GET", "/v1/health", None, 200, {"status": "ok", "timestamp": INSTANT}),
    Case("unknown route", "nobody", "GET", "/v1/nope", None, 404, refusal(404, "Not Found", "Cannot GET /v1/nope")),
    Case(
        "unknown method", "nobody", "PUT", "/v1/health", None, 404, refusal(404, "Not Found", "Cannot PUT /v1/health")
    ),
    Case(
        "a word that is not there", "learner", "GET", "/v1/words/{learner_id}", None, 404,
        refusal(404, "Not Found", "Word with ID {learner_id} not found"),
    ),
]  # fmt: skip
