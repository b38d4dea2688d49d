"""One version of the directory, read as a whole."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass, field
from typing import Any, Mapping, NoReturn, Optional, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from .errors import KeyDirectoryError
from .jwe import RecipientKey, base64url_decode, decrypt

_NAMES = ("private.jwk", "private.jwe", "public.pem", "kid", "jwks.json", "registration.json")
_STRINGS = (
    *("issuer", "client_id", "authorization_endpoint", "token_endpoint", "token_audience", "authorization_server"),
    *("jwks_uri", "platform", "tool_jwks_uri", "namespace_jwks_uri", "kid"),
)
_SAMPLE = b"lti-key-operator"
_UNCHANGED = "mount the delivery Secret unchanged, as a whole directory"
_MOUNT = "mount the delivery Secret as a directory at this path"


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


def version_name(path: str, prefix: str) -> str:
    """Names the version that the directory has now. Two equal names mean equal files."""
    target: Optional[str] = None
    following = _data_target(path)
    while following is not None and following != target:
        target = following
        try:
            state = os.stat(os.path.join(path, target))
            return f"..data {target} {state.st_ino} {state.st_ctime_ns}"
        except FileNotFoundError:
            # After a swap the previous target is gone, and the link has another one.
            following = _data_target(path)
        except OSError as error:
            _fail(error, os.path.join(path, "..data"))
    if target is not None:
        raise KeyDirectoryError("DirectoryMissing", os.path.join(path, "..data"), "its target does not exist", _MOUNT)
    states = []
    for name in _NAMES:
        try:
            state = os.stat(os.path.join(path, prefix + name))
            states.append(f"{name} {state.st_ino} {state.st_size} {state.st_mtime_ns}")
        except OSError as error:
            states.append(f"{name} {error.errno}")
    return ", ".join(states)


def read_version(path: str, recipient_key: Optional[RecipientKey], prefix: str) -> Delivery:
    """Reads the version that `version_name` named. If another one takes its place meanwhile, the names before and after differ."""
    target = _data_target(path)
    pinned = path if target is None else os.path.join(path, target)

    def shown(name: str) -> str:
        # Messages name the files as the tool finds them, not the kubelet's directory.
        return os.path.join(path, prefix + name)

    files = {name: text for name in _NAMES if (text := _text(os.path.join(pinned, prefix + name), shown(name))) is not None}
    if not files:
        if not prefix:
            raise KeyDirectoryError("DirectoryMissing", path, "it has no file of a delivery", _MOUNT)
        remedy = "mount all Secrets of the bundle at this path, and see the conditions of the LtiRegistration"
        raise KeyDirectoryError("DirectoryMissing", path, f"it has no file of a delivery that begins with {prefix}", remedy)
    registration = _registration(files.get("registration.json"), shown("registration.json"))
    if "private.jwk" not in files and "private.jwe" not in files:
        if "kid" in registration:
            remedy = "add it to spec.delivery.files of the LtiRegistration"
            raise KeyDirectoryError("FileMissing", shown("private.jwk"), "it does not exist", remedy)
        remedy = "see the conditions of the LtiRegistration; the files appear with the next key"
        error = KeyDirectoryError("NoSigningKey", shown("private.jwk"), "the operator delivers no key", remedy)
        if target is None or "kid" in files:
            raise error
        raise Withdrawn(error)
    source = shown("private.jwk" if "private.jwk" in files else "private.jwe")
    text = files["private.jwk"] if "private.jwk" in files else _decrypted(files["private.jwe"], source, recipient_key)
    private_key, jwk = _key(text, source)
    jwks = _jwks(files["jwks.json"], shown("jwks.json")) if "jwks.json" in files else [jwk]

    agree = {
        "kid": files.get("kid", jwk["kid"]) == jwk["kid"],
        "registration.json": registration.get("kid", jwk["kid"]) == jwk["kid"],
        "public.pem": "public.pem" not in files or _is_public_half(files["public.pem"], private_key),
        "jwks.json": jwk in jwks,
    }
    for name, agrees in agree.items():
        if not agrees:
            remedy = "read all files from one version: mount the whole Secret, without subPath, and copy nothing into it"
            raise KeyDirectoryError("FilesDisagree", shown(name), f"it belongs to another key than {source}", remedy)
    return Delivery(jwk["kid"], private_key, jwk, registration, jwks)


def is_same(one: Delivery, other: Delivery) -> bool:
    """Whether two versions are the same for a tool; another registration of a bundle may have changed."""
    return (one.jwk, one.registration, one.jwks) == (other.jwk, other.registration, other.jwks)


def _data_target(path: str) -> Optional[str]:
    link = os.path.join(path, "..data")
    try:
        return os.readlink(link)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        if error.errno != errno.ENOENT:
            _fail(error, link)
    try:
        os.stat(path)
    except OSError as error:
        _fail(error, path)
    return None


def _text(file: str, shown_as: str) -> Optional[str]:
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        _fail(error, shown_as)
    except UnicodeDecodeError:
        pass
    # Outside the handler, so that no exception that quotes the text is attached.
    raise KeyDirectoryError("FileMalformed", shown_as, "it is not text", _UNCHANGED)


def _fail(error: OSError, file: str) -> NoReturn:
    if error.errno == errno.ENOENT:
        raise KeyDirectoryError("DirectoryMissing", file, "it does not exist", _MOUNT) from None
    code = errno.errorcode.get(error.errno or 0, "an unknown error")
    remedy = "let the user of the process read it, for example with fsGroup in the Pod"
    raise KeyDirectoryError("FileUnreadable", file, f"reading fails with {code}", remedy) from None


def _object(text: Optional[str], file: str) -> dict[str, Any]:
    if text is None:
        raise KeyDirectoryError("FileMissing", file, "it does not exist", _UNCHANGED)
    value: Any = None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        pass
    # Outside the handler: the errors of json have the whole text as a member.
    if not isinstance(value, dict):
        raise KeyDirectoryError("FileMalformed", file, "it is not a JSON object", _UNCHANGED)
    return value


def _registration(text: Optional[str], file: str) -> Mapping[str, Any]:
    value = _object(text, file)
    wrong = [name for name in _STRINGS if not isinstance(value.get(name, ""), str)]
    ids = value.get("deployment_ids", [])
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        wrong.append("deployment_ids")
    if wrong:
        raise KeyDirectoryError("FileMalformed", file, f"its member {wrong[0]} has another type than expected", _UNCHANGED)
    return value


def _jwks(text: Optional[str], file: str) -> Sequence[Mapping[str, str]]:
    keys = _object(text, file).get("keys")
    if not isinstance(keys, list):
        raise KeyDirectoryError("FileMalformed", file, "it has no array keys", _UNCHANGED)
    return [_public_jwk(key if isinstance(key, dict) else {}, file) for key in keys]


def _public_jwk(value: Mapping[str, Any], file: str) -> dict[str, str]:
    """Only public members (RFC 7518 §6.3.1), whatever else the file has."""
    members = {name: value.get(name) for name in ("kid", "n", "e")}
    if value.get("kty") != "RSA" or not all(isinstance(each, str) and each for each in members.values()):
        raise KeyDirectoryError("FileMalformed", file, "it has no RSA key with the members kid, n and e", _UNCHANGED)
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
        raise KeyDirectoryError("FileMalformed", file, what, _UNCHANGED)
    return private_key, jwk


def _is_public_half(pem: str, private_key: rsa.RSAPrivateKey) -> bool:
    try:
        other = load_pem_public_key(pem.encode())
    except ValueError:
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
