"""The files of a delivery, and which version of them a directory has."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from typing import Iterable, Mapping, NoReturn, Optional

from .errors import KeyDirectoryError

NAMES = ("private.jwk", "private.jwe", "public.pem", "kid", "jwks.json", "registration.json")
MOUNT = "mount the delivery Secret as a directory at this path"
UNCHANGED = "mount the delivery Secret unchanged, as a whole directory"
_READABLE = "let the user of the process read it, for example with fsGroup in the Pod"
_REMEDIES = {
    errno.EACCES: _READABLE,
    errno.EPERM: _READABLE,
    errno.EMFILE: "raise the limit of open files of the process, or close files",
    errno.ENFILE: "raise the limit of open files of the node",
    errno.ENOTDIR: MOUNT,
}
_LARGEST = 2**20
"""Bytes of a Secret at most, so of each file."""


@dataclass(frozen=True)
class Files:
    texts: Mapping[str, str]
    """By the names of a delivery. Absent files are absent."""
    is_mount: bool
    """Whether the directory is a mount, so that the files are of one version."""


def version_name(path: str, prefix: str) -> str:
    """Names the version that the directory has now. Two equal names mean equal files."""
    return _mount_name(path) or _state(path, [prefix + name for name in NAMES])


def bundle_version_name(path: str) -> str:
    """As `version_name`, of all registrations of a bundle."""
    return _mount_name(path) or _state(path, (entry for entry in _entries(path, path) if _owner(entry) is not None))


def read_files(path: str, prefix: str) -> Files:
    """Reads the version that `version_name` named. If another one takes its place meanwhile, the names before and after differ."""
    target = _data_target(path)
    return Files(_texts(path, target, prefix, NAMES), target is not None)


def read_bundle(path: str) -> dict[str, Files]:
    """As `read_files`, by the name of the registration."""
    target = _data_target(path)
    owned: dict[str, list[str]] = {}
    for entry in _entries(path if target is None else os.path.join(path, target), path):
        owner = _owner(entry)
        if owner is not None:
            owned.setdefault(owner[0], []).append(owner[1])
    return {owner: Files(_texts(path, target, f"{owner}.", names), target is not None) for owner, names in owned.items()}


def is_registration_name(name: str) -> bool:
    """A name with other characters could lead out of the directory."""
    return re.fullmatch("[a-z0-9][-.a-z0-9]*", name) is not None


def _owner(entry: str) -> Optional[tuple[str, str]]:
    """Registration and file of `canvas.private.jwk`. The names of registrations may have dots; no file's name ends with another one's."""
    for name in NAMES:
        owner = entry.removesuffix(f".{name}")
        if owner != entry:
            return (owner, name) if is_registration_name(owner) else None
    return None


def _mount_name(path: str) -> Optional[str]:
    target: Optional[str] = None
    following = _data_target(path)
    while following is not None and following != target:
        target = following
        try:
            state = os.stat(os.path.join(path, target))
            return f"..data {target} {state.st_ino} {state.st_ctime_ns}"
        except FileNotFoundError:
            # After a swap the previous target is gone, and the link has another one.
            following = _data_target(path)
        except OSError as error:
            _fail(error, os.path.join(path, "..data"))
    if target is not None:
        raise KeyDirectoryError("DirectoryMissing", os.path.join(path, "..data"), "its target does not exist", MOUNT)
    return None


def _state(path: str, files: Iterable[str]) -> str:
    states = []
    for name in files:
        try:
            state = os.stat(os.path.join(path, name))
            states.append(f"{name} {state.st_ino} {state.st_size} {state.st_mtime_ns}")
        except OSError as error:
            states.append(f"{name} {error.errno}")
    return ", ".join(states)


def _data_target(path: str) -> Optional[str]:
    link = os.path.join(path, "..data")
    try:
        return os.readlink(link)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        if error.errno != errno.ENOENT:
            _fail(error, link)
    try:
        os.stat(path)
    except OSError as error:
        _fail(error, path)
    return None


def _entries(directory: str, shown_as: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError as error:
        _fail(error, shown_as)


def _texts(path: str, target: Optional[str], prefix: str, names: Iterable[str]) -> dict[str, str]:
    pinned = path if target is None else os.path.join(path, target)
    # Messages name the files as the tool finds them, not the kubelet's directory.
    read = ((name, _text(os.path.join(pinned, prefix + name), os.path.join(path, prefix + name))) for name in names)
    return {name: text for name, text in read if text is not None}


def _text(file: str, shown_as: str) -> Optional[str]:
    try:
        found = os.stat(file)
        # Reading a pipe would wait for its writer.
        if not stat.S_ISREG(found.st_mode):
            raise KeyDirectoryError("FileUnreadable", shown_as, "it is not a regular file", UNCHANGED)
        if found.st_size > _LARGEST:
            raise KeyDirectoryError("FileMalformed", shown_as, "it is larger than 1 MiB, the limit of a Secret", UNCHANGED)
        # Bytes that are no UTF-8 must not become an exception that quotes them.
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        _fail(error, shown_as)


def _fail(error: OSError, file: str) -> NoReturn:
    if error.errno == errno.ENOENT:
        raise KeyDirectoryError("DirectoryMissing", file, "it does not exist", MOUNT) from None
    code = errno.errorcode.get(error.errno or 0, "an unknown error")
    unknown = "look for faults of the volume in the events of the Pod; if this continues, restart it"
    remedy = _REMEDIES.get(error.errno or 0, unknown)
    raise KeyDirectoryError("FileUnreadable", file, f"reading fails with {code}", remedy) from None
