from __future__ import annotations

import os
from typing import Callable, Optional, Union

from .delivered_key import DeliveredKey, Found, call
from .errors import KeyDirectoryError
from .files import is_registration_name, read_files, version_name
from .follower import Follower, read_stable
from .jwe import RecipientKey
from .version import Delivery, Withdrawn, version_of

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
    """Opens a mounted delivery Secret, or one `registration` of a mounted bundle. Raises KeyDirectoryError if there is no usable key.

    `recipient_key` is the private key of `spec.delivery.recipient`, `poll_interval` is in seconds. `on_change` gets the new and the
    previous version, `on_fault` the fault, or None when it ends. Both are called in the thread that looked at the directory. An exception that
    they raise is logged.
    """
    return KeyDirectory(os.fspath(path), registration, recipient_key, poll_interval, on_change, on_fault)


class KeyDirectory(DeliveredKey):
    """Follows a mounted delivery Secret without a thread, so that a process may fork: `current` looks at the directory itself.

    All methods may be called from several threads and from coroutines.
    """

    def __init__(
        self,
        path: str,
        registration: Optional[str],
        recipient_key: Optional[RecipientKey],
        poll_interval: float,
        on_change: Optional[OnChange],
        on_fault: Optional[OnFault],
    ) -> None:
        self._prefix = _prefix(registration)
        self._recipient_key = recipient_key
        self._on_change = on_change
        self._on_fault = on_fault
        try:
            self._name, found = self._read(path)
        except Withdrawn as withdrawn:
            raise withdrawn.error from None
        super().__init__(path, registration, Follower(poll_interval, self._look), found)

    def _read(self, path: str) -> tuple[str, Delivery]:
        return read_stable(
            path,
            lambda: version_name(path, self._prefix),
            lambda: version_of(read_files(path, self._prefix), path, self._prefix, self._recipient_key),
        )

    def _look(self, began: float) -> Callable[[], None]:
        found: Found
        name = self._name
        try:
            if self._fault is None and version_name(self.path, self._prefix) == self._name:
                self._confirm(began)
                return lambda: None
            name, found = self._read(self.path)
        except (KeyDirectoryError, Withdrawn) as error:
            found = error
        change = self._accept(found, began)
        # Last, so that a look that is interrupted, or copied by a fork, is repeated.
        self._name = name

        def report() -> None:
            if change.is_new_fault:
                self._log(change.fault)
                if self._on_fault is not None:
                    call(self._on_fault, change.fault)
            if self._on_change is not None and change.before is not None and change.after is not None and change.after is not change.before:
                call(self._on_change, change.after, change.before)

        return report


def _prefix(registration: Optional[str]) -> str:
    if registration is None:
        return ""
    if is_registration_name(registration):
        return f"{registration}."
    raise ValueError("registration must be the name of an LtiRegistration: lower-case letters, digits, - and .")
