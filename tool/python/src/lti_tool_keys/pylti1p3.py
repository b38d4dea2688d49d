"""For PyLTI1p3: a tool configuration whose registrations and keys are mounted delivery Secrets."""

from __future__ import annotations

from typing import Any, Collection, Iterable, Mapping, Optional, Union

from pylti1p3.deployment import Deployment
from pylti1p3.registration import Registration
from pylti1p3.tool_config import ToolConfAbstract

from .errors import KeyDirectoryError
from .key_bundle import KeyBundle
from .sign import KeySource
from .version import Delivery


class DeliveredRegistration(Registration):
    """Key, key ID and endpoints of one version of the directory. PyLTI1p3 asks for a registration in each request."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        members = delivery.registration
        self._issuer = members.get("issuer")
        self._client_id = members.get("client_id")
        self._auth_login_url = members.get("authorization_endpoint")
        self._auth_token_url = members.get("token_endpoint")
        self._auth_audience = members.get("token_audience")
        self._key_set_url = members.get("jwks_uri")

    def get_tool_private_key(self) -> Any:
        # PyLTI1p3 hands it to PyJWT, which takes PEM, too, but needs 50 ms to load it for each token.
        return self._delivery.private_key

    def get_kid(self) -> str:
        return self._delivery.key_id

    def get_jwks(self) -> list[Mapping[str, Any]]:
        return list(self._delivery.jwks)


class KeyDirectoryToolConf(ToolConfAbstract):
    """Make it once, with a KeyBundle or with one key directory for each registration. Registrations that a bundle gets later are found.

    Absent `deployment_ids` accept each deployment.
    """

    def __init__(self, directories: Union[KeyBundle, Iterable[KeySource]]) -> None:
        self._directories: Collection[KeySource] = directories.values() if isinstance(directories, KeyBundle) else list(directories)

    def check_iss_has_one_client(self, iss: str) -> bool:
        return False

    def check_iss_has_many_clients(self, iss: str) -> bool:
        return True

    def find_registration_by_params(self, iss: str, client_id: Optional[str], *_: Any, **__: Any) -> DeliveredRegistration:
        """Raises LookupError. Without `client_id`, as in some login requests, the issuer must have one registration."""
        deliveries, failure = [], None
        for directory in self._directories:
            try:
                deliveries.append(directory.current())
            except KeyDirectoryError as error:
                # One registration without a key must not stop the others.
                failure = error
        found = [
            each
            for each in deliveries
            if each.registration.get("issuer") == iss and client_id in (None, each.registration.get("client_id"))
        ]
        if len(found) == 1:
            return DeliveredRegistration(found[0])
        raise LookupError(f"{len(found)} key directories have the issuer {iss} and the client ID {client_id}, instead of one") from failure

    def find_registration_by_issuer(self, iss: str, *_: Any, **__: Any) -> DeliveredRegistration:
        return self.find_registration_by_params(iss, None)

    def find_deployment_by_params(self, iss: str, deployment_id: str, client_id: str, *_: Any, **__: Any) -> Optional[Deployment]:
        members = self.find_registration_by_params(iss, client_id)._delivery.registration
        known = deployment_id in members.get("deployment_ids", [deployment_id])
        return Deployment().set_deployment_id(deployment_id) if known else None

    def find_deployment(self, iss: str, deployment_id: str) -> Optional[Deployment]:
        raise NotImplementedError("PyLTI1p3 asks by issuer and client ID")
