"""A platform for test/tools/python.test.ts: for each line with a token and a key set, `accepted`, or why a library refuses it."""

import json
import sys

import jwt
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet

for line in sys.stdin:
    asked = json.loads(line)
    token, key_set = asked["token"], {"keys": asked["keys"]}
    try:
        key = jwt.PyJWKSet.from_dict(key_set)[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(token, key, algorithms=["RS256"], audience=asked["audience"], issuer=asked["issuer"])
        joserfc_jwt.decode(token, KeySet.import_key_set(key_set), algorithms=["RS256"])
        print("accepted", flush=True)
    except Exception as error:
        print(f"{type(error).__module__}: {type(error).__name__}: {error}", flush=True)
