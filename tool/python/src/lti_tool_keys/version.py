"""One version of what a registration delivers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from .errors import KeyDirectoryError
from .files import MOUNT, UNCHANGED, Files
from .jwe import RecipientKey, base64url_decode, decrypt

_STRINGS = (
    *("issuer", "client_id", "authorization_endpoint", "token_endpoint", "token_audience", "authorization_server"),
    *("jwks_uri", "platform", "tool_jwks_uri", "namespace_jwks_uri", "kid"),
)
_SAMPLE = b"lti-key-operator"


@dataclass(frozen=True)
class Delivery:
    """The key to sign with, and what belongs to it."""

    key_id: str
    """The `kid` of the header of each token."""
    private_key: rsa.RSAPrivateKey = field(repr=False)
    jwk: Mapping[str, str]
    """The public half."""
    registration: Mapping[str, Any]
    """The members of `registration.json`. A member that the registration does not set is absent."""
    jwks: Sequence[Mapping[str, str]]
    """The keys that the operator publishes for the registration; only the signing one without the file jwks.json."""


class Withdrawn(Exception):
    """The operator removed the key on purpose."""

    def __init__(self, error: KeyDirectoryError) -> None:
        super().__init__(str(error))
        self.error = error

    def again(self) -> Withdrawn:
        return Withdrawn(self.error.again())


def version_of(files: Files, path: str, prefix: str, recipient_key: Optional[RecipientKey]) -> Delivery:
    """What the files say. Raises KeyDirectoryError if they are not usable, and Withdrawn. `prefix` is empty except in a bundle."""
    texts = files.texts

    def shown(name: str) -> str:
        return os.path.join(path, prefix + name)

    if not texts:
        raise no_files(path, prefix)
    registration = _registration(texts.get("registration.json"), shown("registration.json"))
    if "private.jwk" not in texts and "private.jwe" not in texts:
        error = _no_key(registration, shown("private.jwk"))
        # Without a mount, the other files may not be written yet.
        if error.code != "NoSigningKey" or not files.is_mount or "kid" in texts:
            raise error
        raise Withdrawn(error)
    source = shown("private.jwk" if "private.jwk" in texts else "private.jwe")
    text = texts["private.jwk"] if "private.jwk" in texts else _decrypted(texts["private.jwe"], source, recipient_key)
    private_key, jwk = _key(text, source)
    jwks = _jwks(texts["jwks.json"], shown("jwks.json")) if "jwks.json" in texts else [jwk]
    agree = {
        "kid": texts.get("kid", jwk["kid"]) == jwk["kid"],
        "registration.json": registration.get("kid", jwk["kid"]) == jwk["kid"],
        "public.pem": "public.pem" not in texts or _is_public_half(texts["public.pem"], private_key),
        "jwks.json": jwk in jwks,
    }
    for name, agrees in agree.items():
        if not agrees:
            remedy = "read all files from one version: mount the whole Secret, without subPath, and copy nothing into it"
            raise KeyDirectoryError("FilesDisagree", shown(name), f"it belongs to another key than {source}", remedy)
    return Delivery(jwk["kid"], private_key, jwk, registration, jwks)


def no_files(path: str, prefix: str) -> KeyDirectoryError:
    """Neither a file of a Secret nor of a registration in a bundle."""
    if not prefix:
        return KeyDirectoryError("DirectoryMissing", path, "it has no file of a delivery", MOUNT)
    remedy = "mount all Secrets of the bundle at this path, and see the conditions of the LtiRegistration"
    return KeyDirectoryError("DirectoryMissing", path, f"it has no file of a delivery that begins with {prefix}", remedy)


def _no_key(registration: Mapping[str, Any], file: str) -> KeyDirectoryError:
    if "kid" in registration:
        remedy = "add it to spec.delivery.files of the LtiRegistration"
        return KeyDirectoryError("FileMissing", file, "it does not exist", remedy)
    remedy = "see the conditions of the LtiRegistration; the files appear with the next key"
    return KeyDirectoryError("NoSigningKey", file, "the operator delivers no key", remedy)


def is_same(one: Delivery, other: Delivery) -> bool:
    """Whether two versions are the same for a tool; another registration of a bundle may have changed."""
    return (one.jwk, one.registration, one.jwks) == (other.jwk, other.registration, other.jwks)


def _object(text: Optional[str], file: str) -> dict[str, Any]:
    if text is None:
        raise KeyDirectoryError("FileMissing", file, "it does not exist", UNCHANGED)
    value: Any = None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        pass
    # Outside the handler: the errors of json have the whole text as a member.
    if not isinstance(value, dict):
        raise KeyDirectoryError("FileMalformed", file, "it is not a JSON object", UNCHANGED)
    return value


def _registration(text: Optional[str], file: str) -> Mapping[str, Any]:
    value = _object(text, file)
    wrong = [name for name in _STRINGS if not isinstance(value.get(name, ""), str)]
    ids = value.get("deployment_ids", [])
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        wrong.append("deployment_ids")
    if wrong:
        raise KeyDirectoryError("FileMalformed", file, f"its member {wrong[0]} has another type than expected", UNCHANGED)
    return value


def _jwks(text: Optional[str], file: str) -> Sequence[Mapping[str, str]]:
    keys = _object(text, file).get("keys")
    if not isinstance(keys, list):
        raise KeyDirectoryError("FileMalformed", file, "it has no array keys", UNCHANGED)
    return [_public_jwk(key if isinstance(key, dict) else {}, file) for key in keys]


def _public_jwk(value: Mapping[str, Any], file: str) -> dict[str, str]:
    """Only public members (RFC 7518 §6.3.1), whatever else the file has."""
    members = {name: value.get(name) for name in ("kid", "n", "e")}
    if value.get("kty") != "RSA" or not all(isinstance(each, str) and each for each in members.values()):
        raise KeyDirectoryError("FileMalformed", file, "it has no RSA key with the members kid, n and e", UNCHANGED)
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": str(value["kid"]), "n": str(value["n"]), "e": str(value["e"])}


def _key(text: str, file: str) -> tuple[rsa.RSAPrivateKey, dict[str, str]]:
    value = _object(text, file)
    jwk = _public_jwk(value, file)
    private_key: Optional[rsa.RSAPrivateKey] = None
    try:
        n, e, d, p, q, dp, dq, qi = (int.from_bytes(base64url_decode(value[m]), "big") for m in ("n", "e", "d", "p", "q", "dp", "dq", "qi"))
        public = rsa.RSAPublicNumbers(e, n)
        # OpenSSL's own validation tests p and q for primality: 150 ms in which an event loop would stand still.
        loaded = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key(unsafe_skip_rsa_key_validation=True)
        signature = loaded.sign(_SAMPLE, padding.PKCS1v15(), hashes.SHA256())
        public.public_key().verify(signature, _SAMPLE, padding.PKCS1v15(), hashes.SHA256())
        private_key = loaded
    except Exception:  # Whichever error cryptography has for numbers that make no key.
        pass
    # Outside the handler, so that no exception that quotes the key is attached.
    if private_key is None:
        what = "its private half is missing or does not belong to its public half"
        raise KeyDirectoryError("FileMalformed", file, what, UNCHANGED)
    return private_key, jwk


def _is_public_half(pem: str, private_key: rsa.RSAPrivateKey) -> bool:
    try:
        other = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(other, rsa.RSAPublicKey) and other.public_numbers() == private_key.public_key().public_numbers()


def _decrypted(jwe: str, file: str, key: Optional[RecipientKey]) -> str:
    if key is None:
        remedy = "pass the private key of spec.delivery.recipient as recipient_key"
        raise KeyDirectoryError("RecipientKeyMissing", file, "the signing key is encrypted", remedy)
    text: Optional[str] = None
    try:
        text = decrypt(jwe, key)
    except Exception:
        pass
    if text is None:
        remedy = "pass the private key that belongs to spec.delivery.recipient of the registration"
        raise KeyDirectoryError("RecipientMismatch", file, "recipient_key does not decrypt it", remedy)
    return text
