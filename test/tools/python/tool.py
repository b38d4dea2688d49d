"""`tool.py SET-UP DIRECTORY`: a tool for test/tools/python.test.ts. The code of the page is the module `page` next to the mount."""

import sys

import page

set_up, directory = sys.argv[1:]
ISSUER = "https://canvas.instructure.com"


def registration():
    return page.tool_conf.find_registration_by_params(ISSUER, "10000000000042")


def request_with_pylti1p3() -> str:
    from pylti1p3.exception import LtiServiceException
    from pylti1p3.service_connector import ServiceConnector

    try:
        ServiceConnector(registration()).get_access_token(["https://purl.imsglobal.org/spec/lti-ags/scope/score"])
    except LtiServiceException:
        pass
    return "requested"


def response_of_pylti1p3() -> str:
    from pylti1p3.deep_link import DeepLink
    from pylti1p3.deep_link_resource import DeepLinkResource

    return DeepLink(registration(), "1:abc", {"data": "csrf"}).get_response_jwt([DeepLinkResource()])


def request_with_authlib() -> str:
    page.access_token("https://purl.imsglobal.org/spec/lti-ags/scope/score")
    return "requested"


actions = {
    "PyLTI1p3": {"assertion": request_with_pylti1p3, "response": response_of_pylti1p3},
    "Authlib": {"assertion": request_with_authlib},
    "PyJWT": {"assertion": lambda: page.client_assertion()},
    "PyJWT without the library": {"assertion": lambda: page.client_assertion(directory)},
}[set_up]
for line in sys.stdin:
    print(actions[line.strip()](), flush=True)
