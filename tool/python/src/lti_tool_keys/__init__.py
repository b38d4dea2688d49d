"""Signs as an LTI 1.3 tool with the key that the LTI key operator delivers."""

from .check import Finding, check
from .errors import KeyDirectoryError
from .key_directory import KeyDirectory, open_key_directory
from .revocation import Refreshed, predecessor_was_revoked, refresh_platform_cache
from .sign import KeySource, sign_client_assertion, sign_deep_linking_response, tool_jwks
from .version import Delivery

__all__ = [
    "Delivery",
    "Finding",
    "KeyDirectory",
    "KeyDirectoryError",
    "KeySource",
    "Refreshed",
    "check",
    "open_key_directory",
    "predecessor_was_revoked",
    "refresh_platform_cache",
    "sign_client_assertion",
    "sign_deep_linking_response",
    "tool_jwks",
]
