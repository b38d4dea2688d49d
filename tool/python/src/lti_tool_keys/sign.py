"""What a tool signs. Each function takes key, key ID and registration from one version."""

from __future__ import annotations

import base64
import json
import math
import os
import time
import uuid
from typing import Any, Mapping, Optional, Protocol, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from .errors import KeyDirectoryError
from .version import Delivery

_LONGEST_LIFETIME = 600


class KeySource(Protocol):
    """A KeyDirectory, or the key of a registration in a KeyBundle."""

    path: str

    def current(self) -> Delivery: ...


def sign_client_assertion(source: KeySource, *, audience: Optional[str] = None, lifetime: float = 60) -> str:
    """A client assertion for access tokens: LTI Security Framework 1.0 §4.1.1, RFC 7523 §3.

    The audience is `token_audience` of the registration by default, else its `token_endpoint`. `lifetime` is in seconds, at most 600,
    because Sakai refuses more.
    """
    delivery = source.current()
    registration = delivery.registration
    client_id = required(registration.get("client_id"), source, "client_id", "set spec.clientID of the LtiRegistration")
    remedy = "set spec.tokenAudience or spec.tokenEndpoint of the LtiRegistration, or pass audience"
    found = audience or registration.get("token_audience") or registration.get("token_endpoint")
    aud = required(found, source, "token_audience", remedy)
    return _signed(delivery, {"iss": client_id, "sub": client_id, "aud": aud, "jti": str(uuid.uuid4())}, lifetime)


def sign_deep_linking_response(
    source: KeySource,
    *,
    deployment_id: str,
    content_items: Sequence[Mapping[str, Any]],
    data: Optional[str] = None,
    claims: Optional[Mapping[str, Any]] = None,
    lifetime: float = 300,
) -> str:
    """The form parameter `JWT` of a deep-linking response: LTI Deep Linking 2.0 §4.5.

    `data` is that of the request's deep-linking settings. The platform requires it if the request had it.
    """
    delivery = source.current()
    lti, deep_linking = (f"https://purl.imsglobal.org/spec/{name}/claim" for name in ("lti", "lti-dl"))
    remedy = "set spec.clientID of the LtiRegistration"
    payload: dict[str, Any] = {
        **(claims or {}),
        "iss": required(delivery.registration.get("client_id"), source, "client_id", remedy),
        "aud": required(delivery.registration.get("issuer"), source, "issuer", "set spec.issuer of the LtiRegistration"),
        "nonce": str(uuid.uuid4()),
        f"{lti}/message_type": "LtiDeepLinkingResponse",
        f"{lti}/version": "1.3.0",
        f"{lti}/deployment_id": deployment_id,
        f"{deep_linking}/content_items": list(content_items),
    }
    if data is not None:
        payload[f"{deep_linking}/data"] = data
    return _signed(delivery, payload, lifetime)


def tool_jwks(source: KeySource) -> dict[str, Any]:
    """The public keys of the registration, as the operator publishes them. For tests; platforms fetch `tool_jwks_uri`."""
    return {"keys": [dict(key) for key in source.current().jwks]}


def required(value: Optional[str], source: KeySource, member: str, remedy: str) -> str:
    """A member of `registration.json` that the token needs."""
    if value:
        return value
    registration = getattr(source, "registration", None)
    file = os.path.join(source.path, "registration.json" if registration is None else f"{registration}.registration.json")
    raise KeyDirectoryError("RegistrationIncomplete", file, f"it has no {member}", remedy)


def _signed(delivery: Delivery, claims: Mapping[str, Any], lifetime: float) -> str:
    if not 0 < lifetime <= _LONGEST_LIFETIME:
        raise ValueError(f"lifetime is {lifetime}; it must be more than 0 and at most {_LONGEST_LIFETIME} seconds")
    now = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", "kid": delivery.key_id}
    payload = {**claims, "iat": now, "exp": now + math.ceil(lifetime)}
    signed = f"{_encoded(header)}.{_encoded(payload)}"
    signature = delivery.private_key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_base64url(signature)}"


def _encoded(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
