"""Section 1 of the contract, accounts: in the order in which a person meets them."""

from __future__ import annotations

import re
from typing import Any

from tests.api.golden import FORBIDDEN, TOKEN, UNAUTHENTICATED, UUID, Case, bad_request, refusal

REGISTERED = {"message": "Registration successful. Please verify your email to log in."}
SUCCESS = {"success": True}
MIKA = "Mika@example.org"
NEVER_SEEN = "never-seen@example.org"
FIRST, SECOND, THIRD = "first secret", "second secret", "third secret"
EMAIL = "email must be an email"
SHORT = "password must be longer than or equal to 6 characters"
SHORT_NEW = "newPassword must be longer than or equal to 6 characters"
BAD_LINK = refusal(401, "Unauthorized", "Invalid or expired token")
WRONG_LOGIN = refusal(401, "Unauthorized", "Invalid credentials")
TAKEN = refusal(409, "Conflict", "User with this email already exists")


def user(email: str, role: str = "USER") -> dict[str, str]:
    return {"id": UUID, "email": email, "role": role}


def session(email: str, role: str = "USER") -> dict[str, Any]:
    return {"access_token": TOKEN, "refresh_token": TOKEN, "user": user(email, role)}


def unauthorized(message: str) -> dict[str, Any]:
    return refusal(401, "Unauthorized", message)


def wait_for(kind: str) -> re.Pattern[str]:
    """A minute, less what the machine took since."""
    return re.compile(rf"Please wait (60|[345]\d)s before requesting another {kind} email\.")


def post(name: str, path: str, body: Any, status: int, expected: Any, **more: Any) -> Case:
    return Case(name, more.pop("who", "nobody"), "POST", f"/v1/auth/{path}", body, status, expected, **more)


def validate(name: str, status: int, expected: Any, **cookies: str) -> Case:
    return Case(name, "nobody", "GET", "/v1/auth/validate", None, status, expected, cookies=cookies)


REGISTER = [
    post("register without anything", "register", {}, 400, bad_request(
        EMAIL, "email must be a string", SHORT, "password must be a string")),
    post("register with nulls", "register", {"email": None, "password": None}, 400, bad_request(
        EMAIL, "email must be a string", SHORT, "password must be a string")),
    post("register with blanks", "register", {"email": "  ", "password": "     "}, 400, bad_request(EMAIL, SHORT)),
    post("register with a field too many", "register", {"email": MIKA, "password": FIRST, "role": "ADMIN"}, 400,
         bad_request("property role should not exist")),
    post("register with a NUL", "register", {"email": MIKA, "password": "secret\0secret"}, 400,
         bad_request("password must not contain a NUL character")),
    post("register with a line break in the address", "register",
         {"email": "a@example.org\r\nBcc: b@example.org", "password": FIRST}, 400, bad_request(EMAIL)),
    post("register with a body that is no JSON", "register", b"{", 400,
         refusal(400, "Bad Request", "The request body is not valid JSON")),
    post("register with a body that is no object", "register", [], 400,
         refusal(400, "Bad Request", "The request body must be a JSON object")),
    post("register", "register", {"email": MIKA, "password": FIRST}, 201, REGISTERED, keep={"link": f"mail:{MIKA}"}),
    post("register again in another case", "register", {"email": "mIKA@EXAMPLE.org", "password": FIRST}, 409, TAKEN),
]  # fmt: skip

VERIFY = [
    post("log in before the address is verified", "login", {"email": MIKA, "password": FIRST}, 401,
         unauthorized("Email not verified")),
    post("a wrong password comes first", "login", {"email": MIKA, "password": SECOND}, 401, WRONG_LOGIN),
    post("verify without a token", "verify-email", {}, 400, bad_request(
        "token should not be empty", "token must be a string")),
    post("verify with a token that is none", "verify-email", {"token": "junk"}, 401, BAD_LINK),
    post("a link for one thing is not good for another", "reset-password",
         {"token": "{link}", "newPassword": SECOND}, 401, BAD_LINK),
    post("verify", "verify-email", {"token": "{link}"}, 201, SUCCESS),
    post("a link is used once", "verify-email", {"token": "{link}"}, 401, BAD_LINK),
]  # fmt: skip

LOGIN = [
    post("log in without anything", "login", {}, 400, bad_request(
        EMAIL, "email must be a string", "password should not be empty", "password must be a string")),
    post("log in with a wrong password", "login", {"email": MIKA, "password": SECOND}, 401, WRONG_LOGIN),
    post("log in as nobody", "login", {"email": NEVER_SEEN, "password": FIRST}, 401, WRONG_LOGIN),
    post("log in", "login", {"email": "mika@EXAMPLE.ORG", "password": FIRST}, 201, session(MIKA),
         keep={"access": "access_token", "refresh": "refresh_token"}),
    validate("validate", 200, {"valid": True, "user": user(MIKA)}, access_token="{access}"),
    validate("validate without a cookie", 401, unauthorized("No access token")),
    validate("validate with junk", 401, unauthorized("Access token expired"), access_token="junk"),
    validate("a refresh token is no access token", 401, unauthorized("Access token expired"), access_token="{refresh}"),
    Case("validate does not look at the bearer", "learner", "GET", "/v1/auth/validate", None, 401,
         unauthorized("No access token")),
    post("refresh without a cookie", "refresh", None, 401, unauthorized("Refresh token missing")),
    post("refresh with junk", "refresh", None, 401, unauthorized("Invalid refresh token"),
         cookies={"refresh_token": "junk"}),
    post("an access token is no refresh token", "refresh", None, 401, unauthorized("Invalid refresh token"),
         cookies={"refresh_token": "{access}"}),
    post("refresh", "refresh", None, 201, session(MIKA), cookies={"refresh_token": "{refresh}"},
         keep={"second": "refresh_token"}),
    post("refresh once more within ten seconds", "refresh", None, 201,
         session(MIKA) | {"refresh_token": "{second}"}, cookies={"refresh_token": "{refresh}"}),
    post("log out", "logout", None, 201, SUCCESS, cookies={"refresh_token": "{second}"}),
    post("refresh after logging out", "refresh", None, 401, unauthorized("Refresh token revoked or invalid"),
         cookies={"refresh_token": "{second}"}),
    post("log out as nobody", "logout", None, 201, SUCCESS),
    post("log out with junk", "logout", b"{", 201, SUCCESS, cookies={"refresh_token": "junk"}),
]  # fmt: skip

ADMINISTRATORS = [
    post("only with a token", "register/admin", {}, 401, UNAUTHENTICATED),
    post("not by learners", "register/admin", {}, 403, FORBIDDEN, who="learner"),
    post("register an administrator without anything", "register/admin", {}, 400, bad_request(
        EMAIL, "email must be a string", SHORT, "password must be a string"), who="admin"),
    post("register an administrator", "register/admin", {"email": "head@example.org", "password": FIRST}, 201,
         session("head@example.org", "ADMIN"), who="admin"),
    post("register an administrator again", "register/admin", {"email": "HEAD@example.org", "password": FIRST}, 409,
         TAKEN, who="admin"),
    post("an administrator logs in at once", "login", {"email": "head@example.org", "password": FIRST}, 201,
         session("head@example.org", "ADMIN")),
]  # fmt: skip

PASSWORDS = [
    post("ask for a link without an address", "forgot-password", {}, 400, bad_request(EMAIL, "email must be a string")),
    post("ask for a link to a new password", "forgot-password", {"email": MIKA}, 201, SUCCESS),
    post("nobody asks for a link", "forgot-password", {"email": NEVER_SEEN}, 201, SUCCESS),
    post("nobody asks for another", "forgot-password", {"email": NEVER_SEEN}, 429, {
        "message": wait_for("password reset"), "statusCode": 429}),
    post("nobody asks for verification", "resend-verification", {"email": NEVER_SEEN}, 201, SUCCESS),
    post("nobody asks for verification again", "resend-verification", {"email": NEVER_SEEN}, 429, {
        "message": wait_for("verification"), "statusCode": 429}),
    post("somebody verified asks for verification", "resend-verification", {"email": MIKA}, 201, SUCCESS),
    post("change a password without a token", "change-password", {}, 401, UNAUTHENTICATED),
    post("change a password without anything", "change-password", {}, 400, bad_request(
        "currentPassword should not be empty", "currentPassword must be a string", SHORT_NEW,
        "newPassword must be a string"), who="learner"),
    post("change a password that one does not know", "change-password",
         {"currentPassword": "wrong", "newPassword": SECOND}, 401, unauthorized("Current password incorrect"),
         who="learner"),
    post("set a new password with a token that is none", "reset-password",
         {"token": "junk", "newPassword": SECOND}, 401, BAD_LINK),
    post("set a new password without anything", "reset-password", {}, 400, bad_request(
        "token should not be empty", "token must be a string", SHORT_NEW, "newPassword must be a string")),
    post("change a password", "change-password",
         {"currentPassword": "correct horse battery staple", "newPassword": THIRD}, 201, SUCCESS, who="learner"),
    post("the tokens of before have ended", "change-password",
         {"currentPassword": THIRD, "newPassword": FIRST}, 401, UNAUTHENTICATED, who="learner"),
    Case("Google is not configured", "nobody", "GET", "/v1/auth/google", None, 404,
         refusal(404, "Not Found", "Cannot GET /v1/auth/google")),
    Case("so nobody comes back", "nobody", "GET", "/v1/auth/google/callback", None, 404,
         refusal(404, "Not Found", "Cannot GET /v1/auth/google/callback")),
]  # fmt: skip

CASES = [*REGISTER, *VERIFY, *LOGIN, *ADMINISTRATORS, *PASSWORDS]
