"""A WSGI application for test/tools/python.test.ts. With --preload, gunicorn imports it before it forks its workers."""

import os

from lti_tool_keys import open_key_directory

keys = open_key_directory(os.environ["MOUNT"])


def app(_, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {keys.current().key_id}".encode()]
