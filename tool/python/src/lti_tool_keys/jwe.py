"""Decrypts `private.jwe`: a compact JWE (RFC 7516) with the algorithms that `spec.delivery.recipient` allows."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any, Union

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

RecipientKey = Union[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, x25519.X25519PrivateKey]

_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def base64url_decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def decrypt(jwe: str, key: RecipientKey) -> str:
    """Raises an exception of any type if the JWE is malformed or for another recipient."""
    protected, encrypted_key, iv, ciphertext, tag = jwe.strip().split(".")
    header = json.loads(base64url_decode(protected))
    if header["enc"] != "A256GCM":
        raise ValueError("unsupported content encryption")
    cek = _content_key(header, base64url_decode(encrypted_key), key)
    sealed = base64url_decode(ciphertext) + base64url_decode(tag)
    return AESGCM(cek).decrypt(base64url_decode(iv), sealed, protected.encode()).decode()


def _content_key(header: dict[str, Any], encrypted_key: bytes, key: RecipientKey) -> bytes:
    algorithm = header["alg"]
    if algorithm == "RSA-OAEP-256" and isinstance(key, rsa.RSAPrivateKey):
        mgf = padding.MGF1(hashes.SHA256())
        return key.decrypt(encrypted_key, padding.OAEP(mgf=mgf, algorithm=hashes.SHA256(), label=None))
    if algorithm == "ECDH-ES":
        return _agreed_key(header, "A256GCM", key)
    if algorithm == "ECDH-ES+A256KW":
        return aes_key_unwrap(_agreed_key(header, "ECDH-ES+A256KW", key), encrypted_key)
    raise ValueError("unsupported key management")


def _agreed_key(header: dict[str, Any], algorithm: str, key: RecipientKey) -> bytes:
    """RFC 7518 §4.6.2."""
    epk = header["epk"]
    x = base64url_decode(epk["x"])
    if isinstance(key, x25519.X25519PrivateKey) and epk["crv"] == "X25519":
        shared = key.exchange(x25519.X25519PublicKey.from_public_bytes(x))
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        y = base64url_decode(epk["y"])
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), _CURVES[epk["crv"]])
        shared = key.exchange(ec.ECDH(), numbers.public_key())
    else:
        raise ValueError("another kind of key")
    parts = [algorithm.encode(), base64url_decode(header.get("apu", "")), base64url_decode(header.get("apv", ""))]
    info = b"".join(struct.pack(">I", len(part)) + part for part in parts) + struct.pack(">I", 256)
    return ConcatKDFHash(algorithm=hashes.SHA256(), length=32, otherinfo=info).derive(shared)
