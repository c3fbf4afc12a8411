"""Small files that must be whole or absent, and private where they hold secrets."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.errors import ConfigError, StoreError, StoreFull

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace_file(path: Path, octets: bytes, *, mode: int = 0o600) -> None:
    """Write ``octets`` to ``path`` so that a crash leaves the old file or the new one.

    File and directory are synchronised to disk before this returns. Raises StoreFull or StoreError.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_directory(path.parent)
    except OSError as error:
        kind = StoreFull if error.errno in _NO_ROOM else StoreError
        raise kind(f"{path}: cannot be written: {error.strerror}") from error


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable; raise OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of ``path`` against other processes and threads while the block runs.

    The lock is a file beside it, because ``path`` itself is replaced. Raises StoreError.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{lock}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read_private(path: Path, *, max_octets: int = 1 << 24) -> bytes:
    """Octets of a file that holds secrets; raise ConfigError unless only its owner may open it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(str(path), "file", path.name, f"must exist: {error.strerror}") from None
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise ConfigError(str(path), "file", path.name, "must be a regular file")
        mode = stat.S_IMODE(state.st_mode)
        if mode & 0o077:
            allowed = "group and others may not open it (chmod 600)"
            raise ConfigError(str(path), "mode", f"{mode:04o}", allowed)
        with os.fdopen(handle, "rb", closefd=False) as file:
            octets = file.read(max_octets + 1)
    finally:
        os.close(handle)
    if len(octets) > max_octets:
        raise ConfigError(str(path), "size", f"over {max_octets}", f"at most {max_octets} octets")
    return octets
