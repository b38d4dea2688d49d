"""A mounted delivery Secret, and what the operator writes into it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import unittest
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

REGISTRATION = {
    "issuer": "https://canvas.instructure.com",
    "client_id": "10000000000042",
    "token_endpoint": "https://sso.canvaslms.com/login/oauth2/token",
    "token_audience": "https://api.brightspace.com/auth/token",
    "tool_jwks_uri": "https://keys.example.org/registrations/gradebook/canvas/jwks.json",
}
Files = dict[str, str]


def b64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def private_jwk(key: rsa.RSAPrivateKey, kid: str) -> dict[str, str]:
    numbers = key.private_numbers()
    public = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(numbers.public_numbers.n), "e": b64(numbers.public_numbers.e)}
    private = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    return {**public, **{name: b64(value) for name, value in private.items()}}


def delivery(key: rsa.RSAPrivateKey, kid: str) -> Files:
    jwk = private_jwk(key, kid)
    public = {name: jwk[name] for name in ("kty", "use", "alg", "kid", "n", "e")}
    return {
        "private.jwk": json.dumps(jwk),
        "public.pem": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "kid": kid,
        "jwks.json": json.dumps({"keys": [public]}),
        "registration.json": json.dumps(REGISTRATION),
    }


class Mount:
    """A directory that is written as the kubelet writes a mounted Secret."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="delivery-")
        self._version = 0

    def swap(self, files: Files) -> None:
        self._version += 1
        data = os.path.join(self.path, "..data")
        previous = os.readlink(data) if os.path.islink(data) else None
        target = f"..version_{self._version}"
        os.mkdir(os.path.join(self.path, target))
        for name, text in files.items():
            with open(os.path.join(self.path, target, name), "w", encoding="utf-8") as file:
                file.write(text)
        os.symlink(target, data + "_tmp")
        os.rename(data + "_tmp", data)
        if previous is not None:
            shutil.rmtree(os.path.join(self.path, previous))


class MountTestCase(unittest.TestCase):
    """Has an empty mount for each test, and three keys for all."""

    keys: dict[str, rsa.RSAPrivateKey] = {}

    @classmethod
    def setUpClass(cls) -> None:
        cls.keys = {kid: rsa.generate_private_key(65537, 2048) for kid in ("first", "second", "third")}

    def setUp(self) -> None:
        self.mount = Mount()
        self.addCleanup(shutil.rmtree, self.mount.path, ignore_errors=True)
