from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Callable, TypeVar, Union

from .errors import KeyDirectoryError
from .version import Withdrawn

_ATTEMPTS = 20
"""More swaps than that in a row are no rotation."""

Look = Callable[[float], Callable[[], None]]
T = TypeVar("T")


class Follower:
    """Looks at a directory when somebody asks and the last look is too old. It needs no thread, so that a process may fork.

    `look` gets the time at which it begins, by `time.monotonic`, and returns what is to be called when other threads may look again.
    """

    def __init__(self, poll_interval: float, look: Look) -> None:
        self._poll_interval = poll_interval
        self._look = look
        self._looked_at = time.monotonic()
        self._lock = threading.Lock()
        _FOLLOWERS.add(self)

    def look_if_due(self) -> None:
        """While one thread looks, the others continue with what was seen last."""
        if time.monotonic() - self._looked_at >= self._poll_interval:
            self.look(wait=False)

    def look(self, wait: bool) -> None:
        lock = self._lock
        if not lock.acquire(blocking=wait):
            return
        try:
            self._looked_at = time.monotonic()
            report = self._look(self._looked_at)
        finally:
            lock.release()
        report()


_FOLLOWERS: weakref.WeakSet[Follower] = weakref.WeakSet()


def _renew_locks() -> None:
    """Another thread may have held a lock when the process forked."""
    for follower in _FOLLOWERS:
        follower._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def read_stable(path: str, name_version: Callable[[], str], read: Callable[[], T]) -> tuple[str, T]:
    """Reads what did not change meanwhile, and names the version. Raises KeyDirectoryError and Withdrawn."""
    failure: Union[KeyDirectoryError, Withdrawn]
    for _ in range(_ATTEMPTS):
        name = name_version()
        try:
            value = read()
            if name_version() == name:
                return name, value
            continue
        except (KeyDirectoryError, Withdrawn) as error:
            failure = error.again()
        # Outside the handler: tools that report errors with the variables of all frames must not find the key there.
        if name_version() == name:
            raise failure
    raise KeyDirectoryError("FilesDisagree", path, "it changes faster than it can be read", "let only the kubelet write it")
