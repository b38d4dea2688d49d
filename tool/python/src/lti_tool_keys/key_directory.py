from __future__ import annotations

import logging
import os
import re
import threading
import time
import weakref
from typing import Callable, Optional, Union

from .errors import KeyDirectoryError
from .jwe import RecipientKey
from .version import Delivery, Withdrawn, is_same, read_version, version_name

_LOG = logging.getLogger("lti_tool_keys")

_ATTEMPTS = 20
"""More swaps than that in a row are no rotation."""

OnChange = Callable[[Delivery, Delivery], None]
OnFault = Callable[[Optional[KeyDirectoryError]], None]


def open_key_directory(
    path: Union[str, os.PathLike[str]],
    *,
    registration: Optional[str] = None,
    recipient_key: Optional[RecipientKey] = None,
    poll_interval: float = 0.5,
    on_change: Optional[OnChange] = None,
    on_fault: Optional[OnFault] = None,
) -> KeyDirectory:
    """Opens a mounted delivery Secret, or one `registration` of a mounted bundle. Raises KeyDirectoryError if there is no usable key."""
    return KeyDirectory(os.fspath(path), _prefix(registration), recipient_key, poll_interval, on_change, on_fault)


class KeyDirectory:
    """Follows a mounted delivery Secret without a thread, so that a process may fork: `current` looks at the directory itself.

    All methods may be called from several threads and from coroutines.
    """

    def __init__(
        self,
        path: str,
        prefix: str,
        recipient_key: Optional[RecipientKey],
        poll_interval: float,
        on_change: Optional[OnChange],
        on_fault: Optional[OnFault],
    ) -> None:
        self.path = path
        self._prefix = prefix
        self._recipient_key = recipient_key
        self._poll_interval = poll_interval
        self._on_change = on_change
        self._on_fault = on_fault
        self._fault: Optional[KeyDirectoryError] = None
        self._refusal: Optional[KeyDirectoryError] = None
        try:
            self._name, self._last = _read_stable(path, recipient_key, prefix)
        except Withdrawn as withdrawn:
            raise withdrawn.error from None
        self._looked_at = self._confirmed_at = time.monotonic()
        self._new_lock()
        if hasattr(os, "register_at_fork"):
            # Another thread may hold the lock when the process forks.
            reference = weakref.WeakMethod(self._new_lock)
            os.register_at_fork(after_in_child=lambda: (method := reference()) and method())

    def _new_lock(self) -> None:
        self._lock = threading.Lock()

    def current(self) -> Delivery:
        """The key to sign with, from one version of the directory. Call it for each signature.

        Once in `poll_interval` seconds it compares the link of the mount, and after a change it reads six small files. On a fault it
        returns the last good version. It raises after the operator has withdrawn the key.
        """
        if time.monotonic() - self._looked_at >= self._poll_interval:
            self._look(wait=False)
        refusal = self._refusal
        if refusal is not None:
            raise KeyDirectoryError(refusal.code, refusal.file, "the operator delivers no key", refusal.remedy)
        return self._last

    def fault(self) -> Optional[KeyDirectoryError]:
        """Why the directory could not be read at the last look."""
        return self._fault

    def age(self) -> float:
        """Seconds since the directory was last seen to have what `current` returns: a gauge to alert on. It looks if a look is due."""
        if time.monotonic() - self._looked_at >= self._poll_interval:
            self._look(wait=False)
        return time.monotonic() - self._confirmed_at

    def refresh(self) -> None:
        """Reads the directory now, for example after a platform refused a token."""
        self._look(wait=True)

    def _look(self, wait: bool) -> None:
        # While one thread looks, the others continue with the present key.
        if not self._lock.acquire(blocking=wait):
            return
        previous, before = self._last, self._fault
        try:
            began = self._looked_at = time.monotonic()
            try:
                if self._fault is not None or version_name(self.path, self._prefix) != self._name:
                    self._name, read = _read_stable(self.path, self._recipient_key, self._prefix)
                    self._last = previous if is_same(read, previous) else read
                self._fault = self._refusal = None
                self._confirmed_at = began
            except Withdrawn as withdrawn:
                self._fault = self._refusal = withdrawn.error
                self._confirmed_at = began
            except KeyDirectoryError as fault:
                self._fault = fault
            current, after = self._last, self._fault
        finally:
            self._lock.release()
        if str(before) != str(after):
            self._report(after)
        if self._on_change is not None and current is not previous:
            self._on_change(current, previous)

    def _report(self, fault: Optional[KeyDirectoryError]) -> None:
        if fault is None:
            _LOG.info("%s: the key %s can be read again", self.path, self._last.key_id)
        elif self._refusal is not None:
            _LOG.warning("%s", fault)
        else:
            age = time.monotonic() - self._confirmed_at
            _LOG.warning("%s; the key %s stays in use, last confirmed %.0f s ago", fault, self._last.key_id, age)
        if self._on_fault is not None:
            self._on_fault(fault)


def _prefix(registration: Optional[str]) -> str:
    """Of the files of a registration in a bundle. A name with other characters could lead out of the directory."""
    if registration is None:
        return ""
    if re.fullmatch("[a-z0-9][-.a-z0-9]*", registration):
        return f"{registration}."
    raise ValueError("registration must be the name of an LtiRegistration: lower-case letters, digits, - and .")


def _read_stable(path: str, recipient_key: Optional[RecipientKey], prefix: str) -> tuple[str, Delivery]:
    """Reads a version that did not change meanwhile."""
    for _ in range(_ATTEMPTS):
        name = version_name(path, prefix)
        try:
            delivery = read_version(path, recipient_key, prefix)
        except (KeyDirectoryError, Withdrawn):
            if version_name(path, prefix) == name:
                raise
            continue
        if version_name(path, prefix) == name:
            return name, delivery
    raise KeyDirectoryError("FilesDisagree", path, "it changes faster than it can be read", "let only the kubelet write it")
