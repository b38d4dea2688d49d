"""For Authlib: a client authentication method that signs with the key of a mounted delivery Secret."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc7523 import PrivateKeyJWT

from .sign import KeySource, sign_client_assertion


class KeyDirectoryJWT(PrivateKeyJWT):
    """Pass it as `token_endpoint_auth_method`. It reads the key for each token request, and needs no client secret."""

    def __init__(self, source: KeySource) -> None:
        super().__init__()
        self._source = source

    def sign(self, auth: Any, token_endpoint: str) -> str:
        # Authlib's audience would be the token endpoint.
        return sign_client_assertion(self._source)
