"""Run with: PYTHONPATH=src python3 -m unittest discover --start-directory tests"""

from __future__ import annotations

import asyncio
import base64
import http.server
import json
import os
import shutil
import threading
import time
import traceback
import unittest
import unittest.mock
import urllib.parse
from typing import Any, Optional

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lti_tool_keys import (
    KeyDirectory,
    KeyDirectoryError,
    check,
    open_key_directory,
    predecessor_was_revoked,
    refresh_platform_cache,
    sign_client_assertion,
    sign_deep_linking_response,
    tool_jwks,
)
from mount import REGISTRATION, Files, MountTestCase, decoded, delivery, private_jwk


def variables_of(error: BaseException) -> str:
    """As tools show them that report errors with the variables of all frames, without those of this test."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename != __file__]
    return "".join(repr(frame.f_locals) for frame in frames)


class ToolKeys(MountTestCase):
    def files(self, kid: str) -> Files:
        return delivery(self.keys[kid], kid)

    def opened(self, **options: Any) -> KeyDirectory:
        self.mount.swap(self.files("first"))
        return open_key_directory(self.mount.path, **{"poll_interval": 0, **options})

    def verified(self, token: str, kid: str) -> dict[str, Any]:
        header, payload, signature = token.split(".")
        self.assertEqual(decoded(header), {"alg": "RS256", "typ": "JWT", "kid": kid})
        raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        self.keys[kid].public_key().verify(raw, f"{header}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return decoded(payload)

    def test_a_client_assertion_has_the_required_claims(self) -> None:
        claims = self.verified(sign_client_assertion(self.opened()), "first")
        self.assertEqual(claims["iss"], REGISTRATION["client_id"])
        self.assertEqual(claims["sub"], REGISTRATION["client_id"])
        self.assertEqual(claims["aud"], REGISTRATION["token_audience"])
        self.assertEqual(claims["exp"] - claims["iat"], 60)
        self.assertTrue(claims["jti"])

    def test_a_deep_linking_response_echoes_data(self) -> None:
        token = sign_deep_linking_response(self.opened(), deployment_id="1:abc", content_items=[{"type": "link"}], data="csrf")
        claims = self.verified(token, "first")
        self.assertEqual(claims["aud"], REGISTRATION["issuer"])
        self.assertEqual(claims["https://purl.imsglobal.org/spec/lti/claim/deployment_id"], "1:abc")
        self.assertEqual(claims["https://purl.imsglobal.org/spec/lti-dl/claim/data"], "csrf")

    def test_a_bundle_opens_for_each_registration_and_only_what_changed_is_reported(self) -> None:
        def bundle(moodle: str) -> Files:
            owners = {"canvas": "first", "canvas.private": moodle}
            return {f"{owner}.{name}": text for owner, kid in owners.items() for name, text in self.files(kid).items()}

        self.mount.swap(bundle("second"))
        opened = [open_key_directory(self.mount.path, registration=name, poll_interval=0) for name in ("canvas", "canvas.private")]
        before = opened[0].current()
        self.mount.swap(bundle("third"))
        self.assertEqual([directory.current().key_id for directory in opened], ["first", "third"])
        self.assertIs(opened[0].current(), before)
        with self.assertRaisesRegex(KeyDirectoryError, "moodle"):
            open_key_directory(self.mount.path, registration="moodle")
        with self.assertRaises(ValueError):
            open_key_directory(self.mount.path, registration="../canvas")

    def test_a_delivery_of_two_files_is_enough_to_sign(self) -> None:
        self.mount.swap({name: self.files("first")[name] for name in ("private.jwk", "registration.json")})
        directory = open_key_directory(self.mount.path)
        self.verified(sign_client_assertion(directory), "first")
        self.assertEqual([key["kid"] for key in tool_jwks(directory)["keys"]], ["first"])

    def test_an_incomplete_registration_and_a_long_lifetime_are_refused(self) -> None:
        directory = self.opened()
        with self.assertRaises(ValueError):
            sign_client_assertion(directory, lifetime=601)
        self.mount.swap({**self.files("first"), "registration.json": '{"issuer":"https://lms.example.org"}'})
        with self.assertRaises(KeyDirectoryError) as caught:
            sign_client_assertion(directory)
        self.assertEqual(caught.exception.code, "RegistrationIncomplete")

    def test_a_registration_without_an_issuer_signs_client_assertions_alone(self) -> None:
        registration = {name: value for name, value in REGISTRATION.items() if name != "issuer"}
        self.mount.swap({**self.files("first"), "registration.json": json.dumps(registration)})
        directory = open_key_directory(self.mount.path)
        self.verified(sign_client_assertion(directory), "first")
        with self.assertRaises(KeyDirectoryError) as caught:
            sign_deep_linking_response(directory, deployment_id="1", content_items=[])
        self.assertIn("spec.issuer", str(caught.exception))

    def test_a_swap_is_seen_again_and_again_and_reported(self) -> None:
        changes: list[tuple[str, str]] = []
        directory = self.opened(on_change=lambda now, before: changes.append((now.key_id, before.key_id)))
        for kid in ("second", "third", "first"):
            self.mount.swap(self.files(kid))
            self.assertEqual(directory.current().key_id, kid)
            self.verified(sign_client_assertion(directory), kid)
        self.assertEqual(changes, [("second", "first"), ("third", "second"), ("first", "third")])
        self.assertEqual([key["kid"] for key in tool_jwks(directory)["keys"]], ["first"])

    def test_the_directory_is_read_once_in_an_interval_or_on_request(self) -> None:
        directory = self.opened(poll_interval=3600)
        self.mount.swap(self.files("second"))
        self.assertEqual(directory.current().key_id, "first")
        directory.refresh()
        self.assertEqual(directory.current().key_id, "second")

    def test_threads_under_swaps_never_meet_a_key_with_the_id_of_another(self) -> None:
        directory = self.opened(poll_interval=0.001)
        stop = threading.Event()
        wrong: list[object] = []
        reads = [0] * 4

        def read(index: int) -> None:
            seen: Optional[object] = None
            while not stop.is_set():
                current = directory.current()
                reads[index] += 1
                if current is not seen and current.private_key.private_numbers() != self.keys[current.key_id].private_numbers():
                    wrong.append(current.key_id)
                seen = current
                if (fault := directory.fault()) is not None:
                    wrong.append(str(fault))

        threads = [threading.Thread(target=read, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for number in range(20):
            self.mount.swap(self.files(("second", "third", "first")[number % 3]))
            time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(sum(reads), 1000)

    @unittest.skipUnless(hasattr(os, "fork"), "this system does not fork")
    def test_a_forked_worker_follows_the_directory_although_the_lock_was_held(self) -> None:
        directory = self.opened()
        with directory._follower._lock:
            pid = os.fork()
            if pid == 0:
                self.mount.swap(self.files("second"))
                directory.refresh()
                os._exit(0 if directory.current().key_id == "second" else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        self.assertEqual(directory.current().key_id, "second")

    def test_a_directory_that_cannot_be_used_gives_a_typed_error_that_reveals_nothing(self) -> None:
        first, second = self.files("first"), self.files("second")
        mixed = {**json.loads(second["private.jwk"]), "n": json.loads(first["private.jwk"])["n"]}
        named = json.dumps({**REGISTRATION, "kid": "first"})
        cases: list[tuple[str, str, Files]] = [
            ("DirectoryMissing", "", {}),
            ("FileMalformed", "private.jwk", {**first, "private.jwk": first["private.jwk"][:900]}),
            ("FileMalformed", "private.jwk", {**first, "private.jwk": ""}),
            ("FileMalformed", "private.jwk", {**first, "private.jwk": json.dumps(mixed)}),
            ("FileMalformed", "registration.json", {**first, "registration.json": '{"issuer":1}'}),
            ("FileMissing", "registration.json", {name: text for name, text in first.items() if name != "registration.json"}),
            ("FileMissing", "private.jwk", {"registration.json": named, "kid": "first"}),
            ("FilesDisagree", "registration.json", {**second, "registration.json": named}),
            ("FilesDisagree", "kid", {**first, "kid": "second"}),
            ("FilesDisagree", "public.pem", {**first, "public.pem": second["public.pem"]}),
            ("FilesDisagree", "jwks.json", {**first, "jwks.json": second["jwks.json"]}),
            ("FilesDisagree", "public.pem", {**first, "private.jwk": json.dumps(private_jwk(self.keys["second"], "first"))}),
            ("NoSigningKey", "private.jwk", {name: first[name] for name in ("jwks.json", "registration.json")}),
        ]
        secrets = [json.loads(files["private.jwk"])[member][:16] for files in (first, second) for member in ("d", "p", "q")]
        for code, file, files in cases:
            with self.subTest(code=code, file=file):
                self.mount.swap(files)
                with self.assertRaises(KeyDirectoryError) as caught:
                    open_key_directory(self.mount.path)
                error = caught.exception
                self.assertEqual((error.code, error.file), (code, os.path.join(self.mount.path, file).rstrip("/")))
                self.assertIn(error.remedy, str(error))
                self.assertIsNone(error.__cause__)
                shown = "".join(traceback.format_exception(error)) + variables_of(error)
                self.assertFalse([secret for secret in secrets if secret in shown])

    def test_a_fault_in_use_leaves_the_last_good_key_with_its_age(self) -> None:
        faults: list[Optional[str]] = []
        directory = self.opened(on_fault=lambda fault: faults.append(fault.code if fault else None))
        self.mount.swap({**self.files("second"), "private.jwk": "{"})
        self.assertEqual(directory.current().key_id, "first")
        self.assertEqual(faults, ["FileMalformed"])
        before = directory.age()
        self.assertGreater(directory.age(), before)
        self.mount.swap(self.files("second"))
        self.assertEqual(directory.current().key_id, "second")
        self.assertEqual(faults, ["FileMalformed", None])
        shutil.rmtree(self.mount.path)
        self.assertEqual(directory.current().key_id, "second")
        self.assertEqual(faults[-1], "DirectoryMissing")

    def test_a_path_that_is_no_directory_names_the_remedy(self) -> None:
        self.mount.swap(self.files("first"))
        for path in ("missing", "..data/private.jwk"):
            with self.assertRaises(KeyDirectoryError) as caught:
                open_key_directory(os.path.join(self.mount.path, path))
            self.assertEqual(caught.exception.remedy, "mount the delivery Secret as a directory at this path")

    def test_a_file_that_cannot_be_read_as_one_gives_a_typed_error(self) -> None:
        def large(path: str) -> None:
            with open(path, "w") as file:
                file.truncate(2**20 + 1)

        for make, code, text in (
            (os.mkdir, "FileUnreadable", "not a regular file"),
            (os.mkfifo, "FileUnreadable", "not a regular file"),
            (large, "FileMalformed", "larger than 1 MiB"),
        ):
            with self.subTest(text=text):
                self.mount.swap({name: text for name, text in self.files("first").items() if name != "private.jwk"})
                make(os.path.join(self.mount.path, "..data", "private.jwk"))
                with self.assertRaisesRegex(KeyDirectoryError, text) as caught:
                    open_key_directory(self.mount.path)
                self.assertEqual(caught.exception.code, code)

    def test_a_public_key_of_an_unknown_kind_belongs_to_another_key(self) -> None:
        # The algorithm is 1.2.3.4.
        unknown = "-----BEGIN PUBLIC KEY-----\nMAwwBQYDKgMEAwMAAAE=\n-----END PUBLIC KEY-----\n"
        self.mount.swap({**self.files("first"), "public.pem": unknown})
        with self.assertRaises(KeyDirectoryError) as caught:
            open_key_directory(self.mount.path)
        self.assertEqual((caught.exception.code, os.path.basename(caught.exception.file)), ("FilesDisagree", "public.pem"))

    def test_a_listener_that_fails_is_logged_and_does_not_stop_the_signature(self) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("the listener failed")

        directory = self.opened(on_change=fail, on_fault=fail)
        with self.assertLogs("lti_tool_keys", "ERROR") as logs:
            self.mount.swap({})
            self.assertEqual(directory.current().key_id, "first")
            self.mount.swap(self.files("second"))
            self.assertEqual(directory.current().key_id, "second")
        self.assertEqual(sum("the listener failed" in line for line in logs.output), 3)

    def test_a_look_that_was_interrupted_is_repeated(self) -> None:
        directory = self.opened()
        self.mount.swap(self.files("second"))
        # As the soft time limit of Celery does it, at any place of the program. A fork at this place is the same.
        with unittest.mock.patch("lti_tool_keys.delivered_key.is_same", side_effect=TimeoutError):
            self.assertRaises(TimeoutError, directory.current)
        self.assertEqual(directory.current().key_id, "second")

    def test_a_directory_leaves_nothing_behind_for_forks(self) -> None:
        with unittest.mock.patch("os.register_at_fork") as register:
            self.opened()
        register.assert_not_called()

    def test_a_fault_is_logged_as_a_warning_without_anything_secret(self) -> None:
        directory = self.opened()
        half = self.files("second")["private.jwk"][:900]
        self.mount.swap({**self.files("second"), "private.jwk": half})
        with self.assertLogs("lti_tool_keys", "INFO") as logs:
            directory.current()
            directory.current()
            self.mount.swap(self.files("second"))
            directory.current()
        warning, recovery = logs.output
        self.assertIn("private.jwk: it is not a JSON object", warning)
        self.assertIn("the key first stays in use, last confirmed 0 s ago", warning)
        self.assertIn("the key second can be read again", recovery)
        self.assertNotIn(half[-40:], warning)

    def test_the_check_compares_what_the_tool_signs_with_what_is_served(self) -> None:
        directory = self.opened()
        served, other = (self.files(kid)["jwks.json"].encode() for kid in ("first", "second"))
        foreign = other.replace(b'"second"', b'"first"')
        cases: list[tuple[list[str], Any]] = [
            ([], served),
            (["KeyNotServed"], other),
            (["KeyNotServed"], foreign),
            (["KeyNotServed"], b"[]"),
            (["JwksUnreachable"], b"<html>"),
        ]
        for problems, body in cases:
            with self.subTest(body=body):
                self.assertEqual([each.problem for each in check(directory, fetch=lambda *_: body)], problems)
        unreachable = unittest.mock.Mock(side_effect=OSError("refused"))
        self.assertEqual([each.problem for each in check(directory, fetch=unreachable)], ["JwksUnreachable"])
        shutil.rmtree(self.mount.path)
        self.assertEqual([each.problem for each in check(directory, fetch=lambda *_: served)], ["Fault", "NotAMount"])

    def test_the_check_finds_a_registration_that_is_not_enough(self) -> None:
        directory = self.opened()
        for problem, missing in (("NoJwksURL", "tool_jwks_uri"), ("CannotSign", "client_id")):
            registration = {name: value for name, value in REGISTRATION.items() if name != missing}
            self.mount.swap({**self.files("first"), "registration.json": json.dumps(registration)})
            self.assertEqual([each.problem for each in check(directory, fetch=lambda *_: b"{}")], [problem])

    def test_the_check_fetches_over_http_and_follows_no_redirect(self) -> None:
        jwks = self.files("first")["jwks.json"].encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302 if self.path == "/moved" else 200)
                self.send_header("Location", "/jwks.json")
                self.end_headers()
                self.wfile.write(jwks)

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        directory = self.opened()
        for path, problems in (("/jwks.json", []), ("/moved", ["JwksUnreachable"])):
            registration = {**REGISTRATION, "tool_jwks_uri": f"http://127.0.0.1:{server.server_port}{path}"}
            self.mount.swap({**self.files("first"), "registration.json": json.dumps(registration)})
            self.assertEqual([each.problem for each in check(directory)], problems)

    def test_a_revocation_is_a_change_after_which_the_former_key_is_not_published(self) -> None:
        directory = self.opened()
        before = directory.current()
        first, second = (json.loads(self.files(name)["jwks.json"])["keys"] for name in ("first", "second"))
        for published, revoked in ((first + second, False), (second, True)):
            self.mount.swap({**self.files("second"), "jwks.json": json.dumps({"keys": published})})
            directory.refresh()
            self.assertEqual(predecessor_was_revoked(directory.current(), before), revoked)
        self.assertFalse(predecessor_was_revoked(before, before))

    def test_the_cache_of_a_platform_is_refreshed_with_one_token_request(self) -> None:
        answers = {"/ok": (200, b"{}"), "/scope": (400, b'{"error":"invalid_scope"}'), "/client": (401, b'{"error":"invalid_client"}')}
        received: list[dict[str, list[str]]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                status, body = answers.get(self.path, (302, b""))
                self.send_response(status)
                self.send_header("Location", "/ok")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        directory = self.opened()
        for path, status, accepted in (("/ok", 200, True), ("/scope", 400, True), ("/client", 401, False), ("/moved", 302, False)):
            registration = {**REGISTRATION, "token_endpoint": f"http://127.0.0.1:{server.server_port}{path}"}
            self.mount.swap({**self.files("first"), "registration.json": json.dumps(registration)})
            directory.refresh()
            refreshed = refresh_platform_cache(directory)
            self.assertEqual((refreshed.status, refreshed.accepted), (status, accepted), path)
        self.assertEqual(len(received), 4)
        self.assertEqual(received[0]["grant_type"], ["client_credentials"])
        self.verified(received[0]["client_assertion"][0], directory.current().key_id)

    def test_coroutines_sign_while_the_directory_is_swapped(self) -> None:
        directory = self.opened(poll_interval=0.001)

        async def sign() -> list[str]:
            tokens = []
            for _ in range(20):
                tokens.append(await asyncio.to_thread(sign_client_assertion, directory))
                tokens.append(sign_client_assertion(directory))
            return tokens

        async def swap_and_sign() -> list[list[str]]:
            signing = asyncio.gather(*(sign() for _ in range(4)))
            for number in range(8):
                await asyncio.to_thread(self.mount.swap, self.files(("second", "third", "first")[number % 3]))
                await asyncio.sleep(0.01)
            return await signing

        for tokens in asyncio.run(swap_and_sign()):
            for token in tokens:
                self.verified(token, decoded(token.split(".")[0])["kid"])

    def test_a_withdrawn_key_is_not_used_until_there_is_another(self) -> None:
        directory = self.opened()
        self.mount.swap({name: text for name, text in self.files("first").items() if name in ("jwks.json", "registration.json")})
        with self.assertRaises(KeyDirectoryError) as caught:
            directory.current()
        self.assertEqual(caught.exception.code, "NoSigningKey")
        self.mount.swap(self.files("second"))
        self.assertEqual(directory.current().key_id, "second")

    def test_a_delivery_does_not_show_its_key(self) -> None:
        self.assertNotIn("private_key", repr(self.opened().current()))


if __name__ == "__main__":
    unittest.main()
