"""Which web pages may use the API from a browser: CORS (Fetch standard), and the defence of cookies against other pages."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

LOCALHOST = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
DEFAULT_PORTS = (":80", ":443")


class Origins:
    """The origins that the operator has named; None means localhost, on any port."""

    def __init__(self, named: tuple[str, ...] | None) -> None:
        self.named = named

    def allow(self, origin: str) -> bool:
        """Whether pages of this origin may read answers and send credentials."""
        return LOCALHOST.fullmatch(origin) is not None if self.named is None else origin in self.named

    def refuse_write(self, origin: bytes | None, host: bytes, fetch_site: bytes | None, *, cookies: bool) -> bool:
        """Whether a change is some foreign page's doing. Browsers send cookies whatever page asks, so cookies prove no intent.

        A browser names the page's origin with every write; old ones that do not are known by Sec-Fetch-Site, and what is no browser
        sends neither.
        """
        if origin is None:
            return cookies and fetch_site == b"cross-site"
        text = origin.decode("latin-1")
        return not (self.allow(text) or is_own(text, host.decode("latin-1")))


def is_own(origin: str, host: str) -> bool:
    """Whether a page of this server itself asks. The scheme is not compared: a proxy before us may speak TLS."""
    try:
        authority = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(authority) and _without_default_port(authority) == _without_default_port(host)


def _without_default_port(authority: str) -> str:
    authority = authority.lower()
    for port in DEFAULT_PORTS:
        authority = authority.removesuffix(port)
    return authority
