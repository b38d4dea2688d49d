"""Reads the key of a mount while bench/tool-key-python.ts swaps it.

`tool_key.py reads PATH COUNT MODULI` prints one JSON object, `tool_key.py changes PATH` the key ID at the start and after each change, and
`tool_key.py bundle PATH REGISTRATION` those of one registration of a bundle.
MODULI is a JSON object: the modulus `n` of each key by key ID.
"""

import base64
import json
import sys
import time

from lti_tool_keys import DeliveredKey, open_key_bundle, open_key_directory


def reads(directory: DeliveredKey, count: int, moduli: dict[str, str]) -> dict[str, float]:
    changes = mismatches = faults = 0
    last = directory.current()
    current = directory.current
    began = time.perf_counter()
    for _ in range(count):
        delivery = current()
        if delivery is not last:
            last = delivery
            changes += 1
            n = delivery.private_key.public_key().public_numbers().n
            expected = base64.urlsafe_b64decode(moduli[delivery.key_id] + "==")
            mismatches += n != int.from_bytes(expected, "big")
            faults += directory.fault() is not None
    spent = time.perf_counter() - began
    return {"nanoseconds": spent * 1e9 / count, "changes": changes, "mismatches": mismatches, "faults": faults}


def changes(directory: DeliveredKey) -> None:
    seen = None
    while True:
        delivery = directory.current()
        if delivery is not seen:
            seen = delivery
            print(delivery.key_id, flush=True)
        time.sleep(0.005)


if __name__ == "__main__":
    what, path, *rest = sys.argv[1:]
    opened = open_key_bundle(path)[rest[0]] if what == "bundle" else open_key_directory(path)
    if what == "reads":
        print(json.dumps(reads(opened, int(rest[0]), json.loads(rest[1]))), flush=True)
    else:
        changes(opened)
