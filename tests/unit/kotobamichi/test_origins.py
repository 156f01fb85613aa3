"""Which pages may read and write."""

from __future__ import annotations

import pytest

from kotobamichi.origins import Origins

NAMED = Origins(("https://learn.example.org", "capacitor://localhost"))


@pytest.mark.parametrize(
    ("origin", "host", "refused"),
    [
        (None, "api.example.org", False),
        ("https://learn.example.org", "api.example.org", False),
        ("capacitor://localhost", "api.example.org", False),
        ("https://api.example.org", "api.example.org", False),
        ("https://API.example.org", "api.example.org:443", False),
        ("http://api.example.org", "api.example.org:80", False),
        ("http://localhost:3000", "localhost:3000", False),
        ("http://[::1]:3000", "[::1]:3000", False),
        ("http://localhost:5173", "localhost:3000", True),
        ("https://api.example.org.evil.example", "api.example.org", True),
        ("https://evil.example", "api.example.org", True),
        ("https://evil.example?api.example.org", "api.example.org", True),
        ("http://api.example.org:8080", "api.example.org", True),
        ("null", "api.example.org", True),
        ("", "", True),
        ("null", "", True),
        ("http://[", "[", True),
    ],
)
def test_a_write_of_a_foreign_page_is_refused(origin: str | None, host: str, refused: bool) -> None:
    given = None if origin is None else origin.encode()
    for cookies in (True, False):
        assert NAMED.refuse_write(given, host.encode(), None, cookies=cookies) is refused


@pytest.mark.parametrize(
    ("site", "cookies", "refused"),
    [
        (b"cross-site", True, True),
        (b"cross-site", False, False),
        (b"same-origin", True, False),
        (b"same-site", True, False),
        (b"none", True, False),
        (None, True, False),
    ],
)
def test_without_an_origin_the_browsers_word_for_the_site_counts(
    site: bytes | None, cookies: bool, refused: bool
) -> None:
    assert NAMED.refuse_write(None, b"api.example.org", site, cookies=cookies) is refused


def test_in_development_localhost_may_write_on_any_port() -> None:
    origins = Origins(None)
    assert not origins.refuse_write(b"http://localhost:5173", b"api:3000", None, cookies=True)
    assert origins.refuse_write(b"https://evil.example", b"api:3000", None, cookies=True)
