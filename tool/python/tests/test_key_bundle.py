from __future__ import annotations

import json
import os
import threading
import time
import unittest
from typing import Any, Optional, Union

from cryptography.hazmat.primitives.asymmetric import rsa

from lti_tool_keys import DeliveredKey, Delivery, KeyBundle, KeyDirectoryError, open_key_bundle, sign_client_assertion
from mount import REGISTRATION, Files, MountTestCase, delivery

Members = dict[str, Union[str, Files]]


class KeyBundles(MountTestCase):
    def files(self, kid: str) -> Files:
        return {name: text for name, text in delivery(self.keys[kid], kid).items() if name in ("private.jwk", "registration.json")}

    def swap(self, members: Members) -> None:
        files = {owner: self.files(member) if isinstance(member, str) else member for owner, member in members.items()}
        self.mount.swap({f"{owner}.{name}": text for owner, each in files.items() for name, text in each.items()})

    def opened(self, members: Members, **options: Any) -> KeyBundle:
        self.swap(members)
        return open_key_bundle(self.mount.path, **{"poll_interval": 0, **options})

    def key_ids(self, bundle: KeyBundle) -> dict[str, str]:
        return {name: key.current().key_id for name, key in bundle.items()}

    def test_a_registration_that_is_added_appears_and_a_swap_changes_nothing_else(self) -> None:
        reported: list[tuple[Optional[str], str, Optional[str]]] = []

        def on_change(key: DeliveredKey, current: Delivery, previous: Optional[Delivery]) -> None:
            reported.append((key.registration, current.key_id, previous.key_id if previous else None))

        bundle = self.opened({"canvas": "first", "canvas.private": "second"}, on_change=on_change)
        self.assertEqual(self.key_ids(bundle), {"canvas": "first", "canvas.private": "second"})
        self.assertNotIn("moodle", bundle)
        before = bundle["canvas"].current()
        self.swap({"canvas": "first", "canvas.private": "third", "moodle": "first"})
        self.assertIs(bundle["canvas"].current(), before)
        self.assertEqual(bundle["moodle"].current().registration, REGISTRATION)
        self.assertEqual(sorted(reported, key=str), [("canvas.private", "third", "second"), ("moodle", "first", None)])

    def test_a_listener_that_fails_stops_no_other_registration(self) -> None:
        changed = []

        def fail(key: DeliveredKey, *_: Any) -> None:
            changed.append(key.registration)
            raise RuntimeError("the listener failed")

        bundle = self.opened({"canvas": "first", "moodle": "second"}, on_change=fail)
        self.swap({"canvas": "second", "moodle": "third"})
        with self.assertLogs("lti_tool_keys", "ERROR"):
            self.assertEqual(self.key_ids(bundle), {"canvas": "second", "moodle": "third"})
        self.assertEqual(sorted(changed), ["canvas", "moodle"])

    def test_a_registration_without_a_usable_key_stops_no_other(self) -> None:
        half = {**self.files("second"), "private.jwk": self.files("second")["private.jwk"][:900]}
        waiting = {"registration.json": self.files("third")["registration.json"]}
        with self.assertLogs("lti_tool_keys", "WARNING") as logs:
            bundle = self.opened({"canvas": "first", "moodle": half, "sakai": waiting})
        self.assertIn("moodle.private.jwk: it is not a JSON object", logs.output[0])
        self.assertEqual(bundle["canvas"].current().key_id, "first")
        for name, code in (("moodle", "FileMalformed"), ("sakai", "NoSigningKey")):
            with self.assertRaises(KeyDirectoryError) as caught:
                bundle[name].current()
            self.assertEqual(caught.exception.code, code)
        self.swap({"canvas": half, "moodle": "second", "sakai": "third"})
        self.assertEqual(self.key_ids(bundle), {"canvas": "first", "moodle": "second", "sakai": "third"})
        fault = bundle["canvas"].fault()
        self.assertEqual(fault.code if fault else None, "FileMalformed")
        self.assertIsNone(bundle["moodle"].fault())

    def test_a_registration_that_leaves_keeps_its_last_good_key_until_it_returns(self) -> None:
        bundle = self.opened({"canvas": "first", "moodle": "second"})
        moodle = bundle["moodle"]
        self.swap({"canvas": "first"})
        self.assertEqual(moodle.current().key_id, "second")
        self.assertIn("begins with moodle.", str(moodle.fault()))
        self.swap({"canvas": "first", "moodle": "third"})
        self.assertEqual(self.key_ids(bundle), {"canvas": "first", "moodle": "third"})
        self.assertIsNone(moodle.fault())

    def test_a_directory_that_disappears_is_one_warning_and_the_keys_stay_until_it_returns(self) -> None:
        bundle = self.opened({"canvas": "first", "moodle": "second"})
        gone = f"{self.mount.path}-gone"
        os.rename(self.mount.path, gone)
        try:
            with self.assertLogs("lti_tool_keys", "WARNING") as logs:
                bundle.refresh()
                self.assertEqual(self.key_ids(bundle), {"canvas": "first", "moodle": "second"})
            self.assertEqual(len(logs.output), 1)
            self.assertIn("the last good keys stay in use", logs.output[0])
            self.assertEqual([str(key.fault()) for key in bundle.values()], [str(bundle.fault())] * 2)
            age = bundle["moodle"].age()
            self.assertGreater(bundle["moodle"].age(), age)
        finally:
            os.rename(gone, self.mount.path)
        self.swap({"canvas": "third", "moodle": "second"})
        self.assertEqual(self.key_ids(bundle), {"canvas": "third", "moodle": "second"})
        self.assertEqual([bundle.fault(), bundle["moodle"].fault()], [None, None])

    def test_a_registration_is_found_by_issuer_and_client_id_as_soon_as_it_has_a_key(self) -> None:
        entries: dict[str, Files] = {each: {"registration.json": json.dumps({**REGISTRATION, "client_id": each})} for each in "12"}
        bundle = self.opened({"canvas": {**self.files("first"), **entries["1"]}, "moodle": entries["2"]})
        find = lambda client_id: bundle.find(REGISTRATION["issuer"], client_id)
        self.assertIs(find("1"), bundle["canvas"])
        self.assertEqual([find("2"), find("3")], [None, None])
        self.swap({"canvas": {**self.files("first"), **entries["1"]}, "moodle": {**self.files("second"), **entries["2"]}})
        self.assertIs(find("2"), bundle["moodle"])

    def test_an_empty_bundle_opens_and_a_missing_directory_is_a_typed_error(self) -> None:
        bundle = self.opened({})
        self.assertEqual(len(bundle), 0)
        self.swap({"canvas": "first"})
        self.assertEqual(list(bundle), ["canvas"])
        with self.assertRaises(KeyDirectoryError) as caught:
            open_key_bundle(os.path.join(self.mount.path, "missing"))
        self.assertEqual(caught.exception.code, "DirectoryMissing")

    def test_the_error_of_an_incomplete_registration_names_its_file(self) -> None:
        bundle = self.opened({"canvas": {**self.files("first"), "registration.json": '{"issuer":"https://lms.example.org"}'}})
        with self.assertRaises(KeyDirectoryError) as caught:
            sign_client_assertion(bundle["canvas"])
        self.assertEqual(caught.exception.file, os.path.join(self.mount.path, "canvas.registration.json"))

    def test_threads_under_swaps_never_meet_a_key_with_the_id_of_another(self) -> None:
        bundle = self.opened({"canvas": "first", "moodle": "second"}, poll_interval=0.001)
        stop = threading.Event()
        wrong: list[object] = []
        seen: set[str] = set()

        def read() -> None:
            last: dict[str, object] = {}
            while not stop.is_set():
                for name, key in bundle.items():
                    current = key.current()
                    if current is last.get(name):
                        continue
                    last[name] = current
                    seen.add(current.key_id)
                    if current.private_key.private_numbers() != self.keys[current.key_id].private_numbers():
                        wrong.append(current.key_id)
                    if (fault := key.fault()) is not None:
                        wrong.append(str(fault))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        kids = ("first", "second", "third")
        number = 0
        until = time.monotonic() + 60
        while (number < 20 or seen != set(kids)) and time.monotonic() < until:
            number += 1
            self.swap({"canvas": kids[number % 3], "moodle": kids[(number + 1) % 3]})
            bundle.refresh()
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(seen, set(kids))


if __name__ == "__main__":
    unittest.main()
