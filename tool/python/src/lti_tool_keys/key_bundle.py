from __future__ import annotations

import hashlib
import json
import os
from typing import Callable, Iterator, Mapping, Optional, Union

from .delivered_key import LOG, Change, DeliveredKey, Found, call
from .errors import KeyDirectoryError
from .files import Files, bundle_version_name, read_bundle
from .follower import Follower, read_stable
from .jwe import RecipientKey
from .version import Delivery, Withdrawn, no_files, version_of

OnBundleChange = Callable[[DeliveredKey, Delivery, Optional[Delivery]], None]


def open_key_bundle(
    path: Union[str, os.PathLike[str]],
    *,
    recipient_key: Optional[RecipientKey] = None,
    poll_interval: float = 0.5,
    on_change: Optional[OnBundleChange] = None,
) -> KeyBundle:
    """Opens the mounted Secrets of a bundle (`spec.delivery.bundle`). Raises KeyDirectoryError if the directory cannot be read; an empty
    bundle is no error.

    `recipient_key` is the private key of `spec.delivery.recipient`, `poll_interval` is in seconds. `on_change` gets the key of the
    registration that changed, its new version, and the previous one, which is None after its first key. It is called in the thread that
    looked at the directory, and not for what the bundle has when it is opened. An exception that it raises is logged.
    """
    return KeyBundle(os.fspath(path), recipient_key, poll_interval, on_change)


class KeyBundle(Mapping[str, DeliveredKey]):
    """The keys of all registrations of a bundle, by the name of the LtiRegistration.

    Whatever asks for a key looks at the directory if the last look is older than `poll_interval`, so a registration that is added appears
    without a restart. One that left the bundle has the fault DirectoryMissing and keeps its last good version. `current` of one that
    never had a usable key raises its fault. There is no thread, and a process may fork.
    """

    def __init__(
        self, path: str, recipient_key: Optional[RecipientKey], poll_interval: float, on_change: Optional[OnBundleChange]
    ) -> None:
        self.path = path
        self._recipient_key = recipient_key
        self._members: Mapping[str, _Member] = {}
        self._fault: Optional[KeyDirectoryError] = None
        self._follower = Follower(poll_interval, self._look)
        self._on_change: Optional[OnBundleChange] = None
        self._name: Optional[str] = None
        self._follower.look(wait=True)
        self._on_change = on_change
        if self._fault is not None:
            raise self._fault.again()

    def __getitem__(self, registration: str) -> DeliveredKey:
        self._follower.look_if_due()
        return self._members[registration]

    def __iter__(self) -> Iterator[str]:
        self._follower.look_if_due()
        return iter(self._members)

    def __len__(self) -> int:
        self._follower.look_if_due()
        return len(self._members)

    def find(self, issuer: str, client_id: str) -> Optional[DeliveredKey]:
        """The key of the registration with this issuer and client ID, as a login request has them, if one with a usable key has both."""
        self._follower.look_if_due()
        for member in self._members.values():
            entry = {} if member._refusal or not member._last else member._last.registration
            if entry.get("issuer") == issuer and entry.get("client_id") == client_id:
                return member
        return None

    def fault(self) -> Optional[KeyDirectoryError]:
        """Why the directory could not be read at the last look. A fault of one registration is that of its key."""
        return self._fault

    def refresh(self) -> None:
        """Reads the directory now."""
        self._follower.look(wait=True)

    def _look(self, began: float) -> Callable[[], None]:
        before = self._fault
        changes: list[tuple[_Member, Change]] = []
        try:
            if self._fault is not None or bundle_version_name(self.path) != self._name:
                name, read = read_stable(self.path, lambda: bundle_version_name(self.path), lambda: read_bundle(self.path))
                changes = self._take(read, began)
                self._name = name
            else:
                for member in self._members.values():
                    member._confirm(began)
            self._fault = None
        except KeyDirectoryError as fault:
            self._fault = fault
            for member in self._members.values():
                member._accept(fault, began)
        return lambda: self._report(before, changes)

    def _take(self, read: Mapping[str, Files], began: float) -> list[tuple[_Member, Change]]:
        members, changes = dict(self._members), []
        for registration, files in read.items():
            digest, member = _digest(files), members.get(registration)
            # Parses and verifies only what changed, because one swap rewrites the files of all registrations.
            found = member.found if member is not None and member.digest == digest else self._found(registration, files)
            if member is None:
                member = members[registration] = _Member(self.path, registration, self._follower, found)
                changes.append((member, Change(None, member._last, None, member._fault)))
            else:
                changes.append((member, member._accept(found, began)))
            member.found, member.digest = found, digest
        for registration in members.keys() - read.keys():
            member = members[registration]
            member.digest = None
            changes.append((member, member._accept(no_files(self.path, f"{registration}."), began)))
        # Not changed in place: other threads may iterate over it.
        self._members = members
        return changes

    def _found(self, registration: str, files: Files) -> Found:
        try:
            return version_of(files, self.path, f"{registration}.", self._recipient_key)
        except (KeyDirectoryError, Withdrawn) as error:
            return error.again()

    def _report(self, before: Optional[KeyDirectoryError], changes: list[tuple[_Member, Change]]) -> None:
        fault = self._fault
        if str(before) != str(fault) and (fault is None or self._members):
            if fault is None:
                LOG.info("%s can be read again", self.path)
            else:
                LOG.warning("%s; the last good keys stay in use", fault)
        for member, change in changes:
            # The end of a fault of the directory is logged once for all.
            if change.is_new_fault and (before is None or change.fault is not None):
                member._log(change.fault)
            if self._on_change is not None and change.after is not None and change.after is not change.before:
                call(self._on_change, member, change.after, change.before)


class _Member(DeliveredKey):
    digest: Optional[str] = None
    """Of the files that `found` was made from; None if there are none."""
    found: Found


def _digest(files: Files) -> str:
    return hashlib.sha256(json.dumps(sorted(files.texts.items())).encode()).hexdigest()
