"""After a revocation. Some platforms accept a removed key until they meet a token with a key ID that they do not know."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Optional

from .sign import KeySource, required, sign_client_assertion
from .version import Delivery

_DEFAULT_SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem.readonly"
_LONGEST_ANSWER = 1_048_576


@dataclass(frozen=True)
class Refreshed:
    key_id: str
    accepted: bool
    """Whether the platform verified the token, so that it now has the present key set."""
    status: int
    """The status of the answer."""


def predecessor_was_revoked(current: Delivery, previous: Delivery) -> bool:
    """Whether the operator revoked the key of `previous`: after a rotation, it would still be published.

    Also true if the tool did not look for longer than the overlap.
    """
    published = {key["kid"] for key in current.jwks}
    return current.key_id != previous.key_id and previous.key_id not in published


def refresh_platform_cache(
    source: KeySource, *, scope: str = _DEFAULT_SCOPE, audience: Optional[str] = None, timeout: float = 10
) -> Refreshed:
    """Requests one access token with the present key, so that the platform fetches the key set and drops a revoked key.

    Moodle needs this; for platforms that fetch the key set each time it has no effect. The library never calls it by itself. It raises
    OSError if there is no answer. `scope` is one that the platform granted to the tool, `timeout` is in seconds.
    """
    delivery = source.current()
    remedy = "set spec.tokenEndpoint of the LtiRegistration"
    url = required(delivery.registration.get("token_endpoint"), source, "token_endpoint", remedy)
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": sign_client_assertion(source, audience=audience),
        "scope": scope,
    }
    request = urllib.request.Request(url, data=urllib.parse.urlencode(form).encode(), method="POST")
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=timeout) as response:
            return Refreshed(delivery.key_id, True, response.status)
    except urllib.error.HTTPError as error:
        with error:
            return Refreshed(delivery.key_id, _only_scope_was_refused(error.read(_LONGEST_ANSWER)), error.code)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send the client assertion to another address."""

    def redirect_request(self, *_: object) -> None:
        return None


def _only_scope_was_refused(answer: bytes) -> bool:
    """RFC 6749 §5.2: the client was authenticated before."""
    try:
        value = json.loads(answer)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("error") == "invalid_scope"
