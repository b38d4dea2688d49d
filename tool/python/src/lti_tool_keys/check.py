from __future__ import annotations

import json
import os
import urllib.request
from dataclasses import dataclass
from typing import Any, Callable, Literal, Mapping, Optional

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .delivered_key import DeliveredKey
from .errors import KeyDirectoryError
from .jwe import base64url_decode
from .sign import sign_client_assertion

Problem = Literal["Fault", "NotAMount", "NoJwksURL", "JwksUnreachable", "KeyNotServed", "CannotSign"]
Fetch = Callable[[str, float], bytes]


@dataclass(frozen=True)
class Finding:
    problem: Problem
    message: str
    """What is wrong and what to do."""


class _RefuseRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def fetch_jwks(url: str, timeout: float) -> bytes:
    """Raises OSError. It follows no redirect, as most platforms do not."""
    with urllib.request.build_opener(_RefuseRedirects).open(url, timeout=timeout) as response:
        body: bytes = response.read()
        return body


def check(directory: DeliveredKey, *, fetch: Fetch = fetch_jwks, timeout: float = 5.0) -> list[Finding]:
    """A rehearsal, for CI or a readiness probe: the directory follows the Secret, and a client assertion that is signed now verifies
    with the keys that the operator serves at `tool_jwks_uri`.

    It cannot see whether the rest of the tool reads the key for each signature. `timeout` is in seconds.
    """
    directory.refresh()
    findings = []
    fault = directory.fault()
    if fault is not None:
        findings.append(Finding("Fault", str(fault)))
    if not os.path.islink(os.path.join(directory.path, "..data")):
        message = f"{directory.path} has no link ..data, so no kubelet updates it; mount the Secret as a directory, without subPath"
        findings.append(Finding("NotAMount", message))
    served = _finding_of_jwks(directory, fetch, timeout)
    return findings if served is None else [*findings, served]


def _finding_of_jwks(directory: DeliveredKey, fetch: Fetch, timeout: float) -> Optional[Finding]:
    try:
        url = directory.current().registration.get("tool_jwks_uri")
        token = sign_client_assertion(directory)
    except KeyDirectoryError as error:
        return Finding("CannotSign", str(error))
    if url is None:
        return Finding("NoJwksURL", "registration.json has no tool_jwks_uri; start the operator with --jwks-public-url")
    try:
        jwks = json.loads(fetch(url, timeout))
    except (OSError, ValueError) as error:
        return Finding("JwksUnreachable", f"{url} gives no JWKS ({error}); platforms need it from the internet, without a redirect")
    if _verifies(token, jwks):
        return None
    advice = "read the condition Published of the LtiRegistration, and whether the mount is up to date"
    return Finding("KeyNotServed", f"{url} does not verify what the tool signs; {advice}")


def _verifies(token: str, jwks: Any) -> bool:
    signed, _, signature = token.rpartition(".")
    key_id = json.loads(base64url_decode(signed.split(".")[0]))["kid"]
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    return any(
        _is_signed_by(key, signed.encode(), base64url_decode(signature))
        for key in (keys if isinstance(keys, list) else [])
        if isinstance(key, dict) and key.get("kid") == key_id
    )


def _is_signed_by(jwk: Mapping[str, Any], signed: bytes, signature: bytes) -> bool:
    try:
        n, e = (int.from_bytes(base64url_decode(jwk[member]), "big") for member in ("n", "e"))
        rsa.RSAPublicNumbers(e, n).public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        return True
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
