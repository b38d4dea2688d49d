import shutil
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric import rsa
from lti_tool_keys import Delivery, KeyDirectoryError, open_key_bundle
from lti_tool_keys.pylti1p3 import KeyDirectoryToolConf
from mount import REGISTRATION, Mount, delivery


def directory(**registration):
    delivery = Delivery("key", None, {}, registration, [{"kid": "key"}, {"kid": "next"}])
    return SimpleNamespace(path="/lti/x", current=lambda: delivery)


class Withdrawn:
    path = "/lti/withdrawn"

    def current(self):
        raise KeyDirectoryError("NoSigningKey", "/lti/withdrawn/private.jwk", "the operator delivers no key", "wait")


def finds_none(*params):
    try:
        conf.find_registration_by_params(*params)
    except LookupError as error:
        return error.__cause__.code == "NoSigningKey"


conf = KeyDirectoryToolConf([
    Withdrawn(),
    directory(),
    directory(issuer="https://canvas", client_id="1"),
    directory(issuer="https://canvas", client_id="2", deployment_ids=["a", "b"]),
    directory(issuer="https://moodle", client_id="1", authorization_endpoint="https://moodle/auth", jwks_uri="https://moodle/jwks"),
])
assert conf.find_registration_by_params("https://canvas", "2").get_client_id() == "2"
moodle = conf.find_registration_by_params("https://moodle", None)
assert (moodle.get_issuer(), moodle.get_client_id()) == ("https://moodle", "1")
assert (moodle.get_auth_login_url(), moodle.get_key_set_url()) == ("https://moodle/auth", "https://moodle/jwks")
assert finds_none("https://canvas", None) and finds_none("https://canvas", "3") and finds_none("https://sakai", "1")
assert conf.find_deployment_by_params("https://canvas", "any", "1").get_deployment_id() == "any"
assert conf.find_deployment_by_params("https://canvas", "b", "2").get_deployment_id() == "b"
assert conf.find_deployment_by_params("https://canvas", "c", "2") is None
assert [key["kid"] for key in conf.get_jwks("https://canvas", "1")["keys"]] == ["key", "next"]

mount = Mount()
try:
    mount.swap({})
    bundled = KeyDirectoryToolConf(open_key_bundle(mount.path, poll_interval=0))
    try:
        bundled.find_registration_by_issuer(REGISTRATION["issuer"])
        raise AssertionError("the bundle is empty")
    except LookupError:
        pass
    files = delivery(rsa.generate_private_key(65537, 2048), "first")
    mount.swap({f"canvas.{name}": text for name, text in files.items()})
    assert bundled.find_registration_by_issuer(REGISTRATION["issuer"]).get_kid() == "first"
finally:
    shutil.rmtree(mount.path)
