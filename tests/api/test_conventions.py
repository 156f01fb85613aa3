"""What holds for every answer: error bodies, HEAD, slashes, ETags, CORS, request ids."""

from __future__ import annotations

import httpx
import pytest

from tests.support.app import App, started

ORIGIN = "https://learn.example.org"


def test_the_root_greets_in_text_and_credits_the_vocabulary(api: httpx.Client) -> None:
    answer = api.get("/v1")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "CC BY-SA 4.0" in answer.text


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "PUT"])
def test_an_unknown_route_names_method_and_path(api: httpx.Client, method: str) -> None:
    answer = api.request(method, "/v1/nope?x=1")
    assert answer.status_code == 404
    assert answer.json() == {"message": f"Cannot {method} /v1/nope?x=1", "error": "Not Found", "statusCode": 404}


def test_a_method_that_a_route_does_not_have_is_an_unknown_route(api: httpx.Client) -> None:
    answer = api.put("/v1/health")
    assert answer.status_code == 404
    assert answer.json()["message"] == "Cannot PUT /v1/health"


@pytest.mark.parametrize("path", ["/v1", "/v1/words?limit=3", "/v1/health"])
def test_head_answers_like_get_without_the_body(api: httpx.Client, path: str) -> None:
    head, get = api.head(path), api.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("path", ["/v1/words/", "/v1/words//", "/v1/health/", "/v1/"])
def test_a_trailing_slash_is_tolerated(api: httpx.Client, path: str) -> None:
    assert api.get(path).status_code == 200


def test_a_repeated_read_is_304_without_a_body(api: httpx.Client) -> None:
    first = api.get("/v1/words", params={"limit": 3})
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = api.get("/v1/words", params={"limit": 3}, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    other = api.get("/v1/words", params={"limit": 4}, headers={"If-None-Match": tag})
    assert other.status_code == 200


def test_a_named_origin_may_read_with_credentials(api: httpx.Client) -> None:
    answer = api.get("/v1/words", headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"].split(", ")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://learn.example.org.evil.example", "null", "http://localhost:3000"]
)
def test_any_other_origin_is_told_nothing(api: httpx.Client, origin: str) -> None:
    answer = api.get("/v1/words", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_is_204(api: httpx.Client) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = api.options("/v1/words/1", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "content-type"


def test_errors_carry_cors_headers_too(api: httpx.Client) -> None:
    assert api.get("/v1/nope", headers={"Origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN


def test_every_answer_has_a_request_id_and_a_sane_one_is_kept(api: httpx.Client) -> None:
    assert len(api.get("/v1/health").headers["x-request-id"]) == 32
    assert (
        api.get("/v1/health", headers={"X-Request-Id": "from-the-proxy.1"}).headers["x-request-id"]
        == "from-the-proxy.1"
    )
    assert api.get("/v1/health", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"


def test_in_development_localhost_may_read(vocabulary_url: str) -> None:
    with started("serve", DATABASE_URL=vocabulary_url) as app, app.wait_until_alive().client() as client:
        for origin, allowed in (("http://localhost:5173", True), ("https://evil.example", False)):
            answer = client.get("/v1/health", headers={"Origin": origin})
            assert ("access-control-allow-origin" in answer.headers) is allowed


def test_the_documentation_page_needs_no_other_host(api: httpx.Client, app: App) -> None:
    page = api.get("/v1/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "https://" not in page.text.replace("https://creativecommons.org", "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "swagger-ui-standalone-preset.js", "favicon-32x32.png"):
        assert asset in page.text
        assert api.get(f"/v1/docs/assets/{asset}").status_code == 200


def test_the_openapi_document_describes_the_parameters_of_the_list(api: httpx.Client) -> None:
    document = api.get("/v1/docs/openapi.json").json()
    operation = document["paths"]["/v1/words"]["get"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        "page", "limit", "search", "level", "topic", "partOfSpeech", "after",
    }  # fmt: skip
    assert "/v1/words/{word_id}" in document["paths"]
    assert "CC BY-SA 4.0" in document["info"]["description"]
