"""/auth: unpack, call, return. Sets and clears the cookies; what is allowed is decided in service.py."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import psycopg
from litestar import MediaType, Request, Response, Router, get, post
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from psycopg_pool import PoolTimeout

from kotobamichi.accounts import google, service
from kotobamichi.accounts.cookies import REFRESH_COOKIE, Cookies
from kotobamichi.accounts.identity import ACCESS_COOKIE, Identities, administrator, asker, signed_in
from kotobamichi.accounts.schemas import (
    Address,
    Credentials,
    LinkToken,
    Login,
    Message,
    NewPassword,
    PasswordChange,
    SignedInUser,
    Success,
    User,
    Validation,
)
from kotobamichi.accounts.service import Accounts
from kotobamichi.accounts.sessions import fingerprint
from kotobamichi.bodies import read_body
from kotobamichi.errors import Unauthorized
from kotobamichi.logs import get_log
from kotobamichi.openapi import describe, text

log = get_log("kotobamichi.accounts")

AnyRequest = Request[Any, Any, Any]
Tokens = Response[SignedInUser]


@post(
    "/register", operation_class=describe(body=Credentials, errors=(400, 409, 413)),
    summary="Register; a mail with a link verifies the address",
)  # fmt: skip
async def register(request: AnyRequest, accounts: Accounts) -> Message:
    body = await read_body(request, Credentials)
    return Message(await service.register(accounts, body.email, body.password, _now()))


@post(
    "/register/admin", guards=[administrator], summary="Make another administrator, verified at once",
    operation_class=describe(body=Credentials, errors=(409,), role="ADMIN"),
)  # fmt: skip
async def register_administrator(request: AnyRequest, accounts: Accounts) -> SignedInUser:
    body = await read_body(request, Credentials)
    return await service.register_administrator(accounts, body.email, body.password, _client(request), _now())


@post("/login", operation_class=describe(body=Login, errors=(400, 401, 413)), summary="Log in")
async def log_in(request: AnyRequest, accounts: Accounts, jar: Cookies) -> Tokens:
    body = await read_body(request, Login)
    session = await service.log_in(accounts, body.email, body.password, _client(request), _now())
    return Response(session, cookies=jar.session(session))


@post(
    "/logout", operation_class=describe(), summary="Log out", description="Never fails: what cannot be ended has ended."
)
async def log_out(request: AnyRequest, accounts: Accounts, jar: Cookies) -> Response[Success]:
    try:
        await service.log_out(accounts, request.cookies.get(REFRESH_COOKIE), _now())
    except (psycopg.OperationalError, PoolTimeout) as error:
        log.warning("account.session_not_ended", error=type(error).__name__)
    return Response(Success(), cookies=jar.no_session())


@get("/validate", operation_class=describe(errors=(401,)), summary="Whose access cookie this is")
async def validate(request: AnyRequest, jar: Cookies) -> Validation:
    token = request.cookies.get(ACCESS_COOKIE)
    if not token:
        raise Unauthorized("No access token")
    identities: Identities = request.app.state.identities
    identity = await identities.find({ACCESS_COOKIE: token}, None)
    if identity is None:
        # The refresh cookie stays: it is what the client goes on with.
        raise Unauthorized("Access token expired", {"set-cookie": jar.clear(ACCESS_COOKIE).header})
    return Validation(user=User(identity.id, identity.email, identity.role))


@post("/refresh", operation_class=describe(errors=(401,)), summary="The next pair of tokens, for the refresh cookie")
async def refresh(request: AnyRequest, accounts: Accounts, jar: Cookies) -> Tokens:
    session = await service.refresh(accounts, request.cookies.get(REFRESH_COOKIE), _client(request), _now())
    return Response(session, cookies=jar.session(session))


@post(
    "/verify-email", operation_class=describe(body=LinkToken, errors=(400, 401, 413)),
    summary="Verify an address by the token of a mailed link",
)  # fmt: skip
async def verify_email(request: AnyRequest, accounts: Accounts) -> Success:
    body = await read_body(request, LinkToken)
    await service.verify_email(accounts, body.token, _now())
    return Success()


@post(
    "/resend-verification", operation_class=describe(body=Address, errors=(400, 413)),
    summary="Mail the verification link again", description="The same answer whether or not there is such an account.",
)  # fmt: skip
async def resend_verification(request: AnyRequest, accounts: Accounts) -> Success:
    body = await read_body(request, Address)
    await service.request_link(accounts, body.email, "verify_email", _now())
    return Success()


@post(
    "/forgot-password", operation_class=describe(body=Address, errors=(400, 413)),
    summary="Mail a link that sets a new password", description="The same answer whether or not there is such an account.",
)  # fmt: skip
async def forgot_password(request: AnyRequest, accounts: Accounts) -> Success:
    body = await read_body(request, Address)
    await service.request_link(accounts, body.email, "reset_password", _now())
    return Success()


@post(
    "/reset-password", operation_class=describe(body=NewPassword, errors=(400, 401, 413)),
    summary="Set a new password by the token of a mailed link", description="Ends every session of the account.",
)  # fmt: skip
async def reset_password(request: AnyRequest, accounts: Accounts) -> Success:
    body = await read_body(request, NewPassword)
    await service.reset_password(accounts, body.token, body.new_password, _now())
    return Success()


@post(
    "/change-password", guards=[signed_in], operation_class=describe(body=PasswordChange, errors=(400, 413), signed_in=True),
    summary="Change the password",
    description="Ends every other session, and all access tokens; a client with cookies is given a new one.",
)  # fmt: skip
async def change_password(request: AnyRequest, accounts: Accounts, jar: Cookies) -> Response[Success]:
    body = await read_body(request, PasswordChange)
    now = _now()
    refresh_token = request.cookies.get(REFRESH_COOKIE)
    account = await service.change_password(
        accounts, asker(request).id, body.current_password, body.new_password, refresh_token, now
    )
    by_cookie = request.cookies.get(ACCESS_COOKIE) is not None
    fresh = [jar.access(accounts.sessions.access_token(account, now))] if by_cookie else []
    return Response(Success(), cookies=fresh)


@get("/google", operation_class=describe(errors=(404,)), summary="Log in with Google", status_code=302)
async def go_to_google(accounts: Accounts, jar: Cookies) -> Response[None]:
    if accounts.google is None:
        raise NotFoundException
    departure = google.depart(accounts.google, accounts.sessions.secret, _now())
    cookie = _google_jar(jar).set(google.LOGIN_COOKIE, departure.cookie, google.LOGIN_SECONDS)
    return _redirect(departure.url, [cookie])


@get(
    "/google/callback", summary="Come back from Google", status_code=302,
    description="Sets both cookies and goes to the web client; to its `/login?error=...` where nobody was logged in.",
    operation_class=describe(text("code", "From Google."), text("state", "From Google."), errors=(404,)),
)  # fmt: skip
async def come_back(request: AnyRequest, accounts: Accounts, jar: Cookies) -> Response[None]:
    if accounts.google is None:
        raise NotFoundException
    query = request.query_params
    used = _google_jar(jar).clear(google.LOGIN_COOKIE)
    try:
        verifier = google.read_departure(
            request.cookies.get(google.LOGIN_COOKIE), query.get("state"), accounts.sessions.secret
        )
        code = query.get("code")
        if not code:
            raise google.GoogleRefused("google_cancelled")
        person = await google.fetch_person(accounts.google, code, verifier)
        session = await google.log_in_with_google(accounts, person, _client(request), _now())
    except google.GoogleRefused as refused:
        log.info("google.refused", reason=refused.reason)
        return _redirect(f"{accounts.outbox.settings.app_url}/login?error={refused.reason}", [used])
    return _redirect(accounts.outbox.settings.app_url, [used, *jar.session(session)])


def _google_jar(jar: Cookies) -> Cookies:
    """Only for these routes, and sent when the browser comes from Google's pages, as `strict` would not be."""
    return Cookies(dataclasses.replace(jar.settings, cookie_samesite="lax"), "/v1/auth/google")


def _redirect(url: str, cookies: list[Any]) -> Response[None]:
    return Response(None, status_code=302, media_type=MediaType.TEXT, headers={"Location": url}, cookies=cookies)


def _client(request: AnyRequest) -> str:
    address = request.client.host if request.client else ""
    return fingerprint(address, request.headers.get("user-agent", ""))


def _now() -> datetime:
    return datetime.now(UTC)


router = Router(
    path="/auth",
    route_handlers=[
        register, register_administrator, log_in, log_out, validate, refresh, verify_email, resend_verification,
        forgot_password, reset_password, change_password, go_to_google, come_back,
    ],
    cache_control=CacheControlHeader(no_store=True),
    tags=["Accounts"],
)  # fmt: skip
