"""Who may pass: whoever has the token; without one, whoever is on this machine and is no page in its browser."""

from __future__ import annotations

import secrets

from starlette.requests import Request

from dbos.model.loopback import is_loopback

HEALTH = "/dbos-healthz"  # for probes, which have no token


def refusal(request: Request, token: str | None) -> tuple[int, str] | None:
    """Why a request may not pass, as a status and a sentence; None if it may."""
    if request.url.path == HEALTH:
        return None
    if token is not None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            return 401, "This server wants a token: send the header `Authorization: Bearer TOKEN`"
        if not secrets.compare_digest(given.strip().encode(), token.encode()):
            return 401, "This is not the token of this server, which is the configured `admin_token`"
        return None
    # Any page can make a browser send requests to this machine, under a name that it resolves to it.
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") or "origin" in request.headers:
        return 403, "Requests of web pages are refused as long as no `admin_token` is configured"
    if not is_loopback(request.url.hostname or ""):
        return 403, "Without an `admin_token` this server answers to localhost only"
    return None
