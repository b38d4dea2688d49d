"""Signs as an LTI 1.3 tool with the key that the LTI key operator delivers."""

from .check import Finding, check
from .delivered_key import DeliveredKey
from .errors import KeyDirectoryError
from .key_bundle import KeyBundle, open_key_bundle
from .key_directory import KeyDirectory, open_key_directory
from .revocation import Refreshed, predecessor_was_revoked, refresh_platform_cache
from .sign import KeySource, sign_client_assertion, sign_deep_linking_response, tool_jwks
from .version import Delivery

__all__ = [
    "DeliveredKey",
    "Delivery",
    "Finding",
    "KeyBundle",
    "KeyDirectory",
    "KeyDirectoryError",
    "KeySource",
    "Refreshed",
    "check",
    "open_key_bundle",
    "open_key_directory",
    "predecessor_was_revoked",
    "refresh_platform_cache",
    "sign_client_assertion",
    "sign_deep_linking_response",
    "tool_jwks",
]
