from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

from .errors import KeyDirectoryError
from .follower import Follower
from .version import Delivery, Withdrawn, is_same

LOG = logging.getLogger("lti_tool_keys")

Found = Union[Delivery, Withdrawn, KeyDirectoryError]
"""What a look at the files found."""


def call(listener: Callable[..., object], *arguments: Any) -> None:
    """A listener that fails must not fail the signature for which a thread looked at the directory."""
    try:
        listener(*arguments)
    except Exception:
        LOG.exception("a listener failed")


@dataclass(frozen=True)
class Change:
    """What a look changed, to be reported after it."""

    before: Optional[Delivery]
    after: Optional[Delivery]
    former_fault: Optional[KeyDirectoryError]
    fault: Optional[KeyDirectoryError]

    @property
    def is_new_fault(self) -> bool:
        return str(self.former_fault) != str(self.fault)


class DeliveredKey:
    """The key of one registration. All methods may be called from several threads and from coroutines."""

    def __init__(self, path: str, registration: Optional[str], follower: Follower, found: Found) -> None:
        self.path = path
        self.registration = registration
        """The name of the LtiRegistration, if the directory is a bundle."""
        self._follower = follower
        self._last: Optional[Delivery] = None
        self._refusal: Optional[KeyDirectoryError] = None
        """Why `current` raises. Either `_last` or `_refusal` is set."""
        self._fault: Optional[KeyDirectoryError] = None
        self._confirmed_at = time.monotonic()
        self._accept(found, self._confirmed_at)

    def current(self) -> Delivery:
        """The key to sign with, from one version of the directory. Call it for each signature.

        Once in `poll_interval` seconds it compares the link of the mount, and after a change it reads the files. On a fault it returns
        the last good version. It raises KeyDirectoryError after the operator has withdrawn the key.
        """
        self._follower.look_if_due()
        refusal = self._refusal
        if refusal is not None:
            raise refusal.again()
        assert self._last is not None
        return self._last

    def fault(self) -> Optional[KeyDirectoryError]:
        """Why the key could not be read at the last look."""
        return self._fault

    def age(self) -> float:
        """Seconds since the directory was last seen to have what `current` returns: a gauge to alert on. It looks if a look is due."""
        self._follower.look_if_due()
        return time.monotonic() - self._confirmed_at

    def refresh(self) -> None:
        """Reads the directory now, for example after a platform refused a token."""
        self._follower.look(wait=True)

    def _confirm(self, at: float) -> None:
        """The directory still has what was found last. `at` is when the look began."""
        if self._fault is self._refusal:
            self._confirmed_at = at

    def _accept(self, found: Found, at: float) -> Change:
        before, former_fault = self._last, self._fault
        if isinstance(found, KeyDirectoryError):
            self._fault = found
            if before is None:
                self._refusal = found
        else:
            self._confirmed_at = at
            if isinstance(found, Withdrawn):
                self._fault = self._refusal = found.error
            else:
                self._last = before if before is not None and is_same(found, before) else found
                self._fault = self._refusal = None
        return Change(before, self._last, former_fault, self._fault)

    def _log(self, fault: Optional[KeyDirectoryError]) -> None:
        key_id = self._last.key_id if self._last else None
        if fault is None:
            LOG.info("%s: the key %s can be read again", self.path, key_id)
        elif self._refusal is not None:
            LOG.warning("%s", fault)
        else:
            age = time.monotonic() - self._confirmed_at
            LOG.warning("%s; the key %s stays in use, last confirmed %.0f s ago", fault, key_id, age)
