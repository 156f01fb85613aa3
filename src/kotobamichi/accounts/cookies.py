"""The two cookies of a session: httpOnly, for the whole site, as strict as the operator has set."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.datastructures import Cookie

from kotobamichi.accounts.identity import ACCESS_COOKIE
from kotobamichi.accounts.schemas import SignedInUser
from kotobamichi.settings import TokenSettings

REFRESH_COOKIE = "refresh_token"
LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


class HeaderCookie(Cookie):
    """A cookie whose header is written here: the framework has no expiry in the past, which is what clears a cookie."""

    header: str

    def to_encoded_header(self) -> tuple[bytes, bytes]:
        return b"set-cookie", self.header.encode("latin-1")


@dataclass(frozen=True)
class Cookies:
    """Sets and clears with the same attributes: a browser takes others for another cookie."""

    settings: TokenSettings
    path: str = "/"

    def set(self, name: str, value: str, seconds: int) -> HeaderCookie:
        return self._cookie(name, value, f"Max-Age={seconds}")

    def clear(self, name: str) -> HeaderCookie:
        return self._cookie(name, "", f"Max-Age=0; Expires={LONG_AGO}")

    def session(self, session: SignedInUser) -> list[HeaderCookie]:
        return [
            self.access(session.access_token),
            self.set(REFRESH_COOKIE, session.refresh_token, self.settings.refresh_seconds),
        ]

    def access(self, token: str) -> HeaderCookie:
        return self.set(ACCESS_COOKIE, token, self.settings.access_seconds)

    def no_session(self) -> list[HeaderCookie]:
        return [self.clear(ACCESS_COOKIE), self.clear(REFRESH_COOKIE)]

    def _cookie(self, name: str, value: str, age: str) -> HeaderCookie:
        secure = "; Secure" if self.settings.cookie_secure else ""
        same_site = self.settings.cookie_samesite.capitalize()
        cookie = HeaderCookie(name, self.path, value)
        cookie.header = f"{name}={value}; {age}; Path={self.path}; HttpOnly{secure}; SameSite={same_site}"
        return cookie
