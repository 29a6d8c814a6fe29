"""Requests that the page of another site has a browser send, with what the browser remembers of a login here."""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

#: What a form can send, or a script without asking first whether it may (Fetch standard, CORS-safelisted).
_SIMPLE = ("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


def comes_from_elsewhere(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Whether another site sent it that is not allowed to (management.cors.allow_origins; "*" is any).

    The browser says so in Sec-Fetch-Site or, where it does not send that, by an Origin that is not the Host. What has
    neither is no page. Where any site is allowed, what a browser sends without asking first is still refused: it may
    have a remembered password with it.
    """
    origin = headers.get("origin", "")
    site = headers.get("sec-fetch-site", "")
    if site in ("same-origin", "none") or not (site or origin):
        return False
    if not site and origin != "null":
        hosts = (headers.get("host", ""), headers.get("x-forwarded-host", ""))
        if urlsplit(origin).netloc in hosts:
            return False
    if origin in allowed:
        return False
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "*" not in allowed or kind in _SIMPLE
