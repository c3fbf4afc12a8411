"""The one error tree.

Errors are named by whose fault they are and by what the caller should do::

    GatewayError                   exit code
    |- UsageError                  2   the call is wrong: correct it
    |  |- ConfigError              2   a file is wrong: file, key, value, what is allowed
    |  |  `- ConfigErrors          2   several of them, told at once
    |  |- NoProfileFits            2   no firmware profile, or more than one, claims a meter
    |  `- LocalProtocolError       2   our code asked for something the protocol forbids now
    |- RemoteProtocolError         1   the peer sent what it must not
    |  |- DecodeError              1   bytes that are not what they claim to be
    |  |- LimitExceeded            1   more than we are willing to hold
    |  `- MeterChanged             1   the meter no longer is what was read before
    |- PeerRefused                 1   the peer understood and said no
    |- NoAnswer                    3   silence; try again later
    |  `- LinkLost                 3   the wire itself went away
    |     `- WireGone              3   the device on this side: no meter's doing
    |- SecurityError               4   bad tag, wrong key, replay: do not retry
    `- StoreError                  1   our own disk
       |- StoreFull                1
       `- StoreCorrupt             1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class GatewayError(Exception):
    """Root of every error this product raises on purpose."""

    exit_code: ClassVar[int] = 1
    #: whether the same call may succeed later without anybody changing anything
    retryable: ClassVar[bool] = False


class UsageError(GatewayError):
    """The caller asked for something that cannot be; nothing was done."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration or data file is wrong.

    Says file, key, value and what is allowed, so that nobody needs the source to mend it.
    """

    def __init__(self, file: str, key: str, value: object, allowed: str) -> None:
        self.file = file
        self.key = key
        self.value = value
        self.allowed = allowed
        super().__init__(f"{file}: {key} = {value!r}: {allowed}")


class ConfigErrors(ConfigError):
    """Everything that is wrong with a configuration, told at once; ``errors`` has each."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.file, first.key, first.value, first.allowed)
        self.args = ("\n".join(map(str, self.errors)),)


class NoProfileFits(UsageError):
    """No firmware profile, or more than one, claims the meter that answered; it is not read.

    ``read`` is what the meter said of itself, ``near`` the profiles that came close, each with
    what is wrong with it.
    """

    def __init__(self, read: str, near: Sequence[str]) -> None:
        self.read = read
        self.near = tuple(near)
        profiles = "; ".join(near) or "none"
        super().__init__(
            f"no one profile fits a meter that says {read}: near are {profiles}"
            " (name a profile, or write one with scan --write-profile)"
        )


class LocalProtocolError(UsageError):
    """Our own side tried a step that the protocol does not allow in this state."""


class RemoteProtocolError(GatewayError):
    """The peer broke the protocol; the session that saw it is over."""


class DecodeError(RemoteProtocolError):
    """Octets that are not a valid encoding of what they claim to be."""

    def __init__(self, what: str, offset: int | None = None) -> None:
        self.what = what
        self.offset = offset
        super().__init__(what if offset is None else f"{what} (at octet {offset})")


class LimitExceeded(RemoteProtocolError):
    """The peer sent more than the stated limit: frame, PDU, nesting, array length, time."""


class MeterChanged(RemoteProtocolError):
    """Capture objects, scaler or nameplate differ from what was read before."""


class PeerRefused(GatewayError):
    """The peer answered, and the answer is no.

    ``reason`` is the standard's own name: a reject diagnostic, a data-access-result,
    an action-result, an exception-response, "disconnected mode".
    """

    def __init__(self, service: str, reason: str) -> None:
        self.service = service
        self.reason = reason
        super().__init__(f"{service} refused: {reason}")


class Preempted(GatewayError):
    """The wire was given to something more urgent; what was under way begins anew later."""

    exit_code = 3
    retryable = True


class NoAnswer(GatewayError):
    """No octet, or no complete answer, within the time allowed."""

    is_linked = True
    """False where not even the opening of the data link was answered."""

    exit_code = 3
    retryable = True


class LinkLost(NoAnswer):
    """The port vanished or the peer closed the connection."""


class WireGone(LinkLost):
    """The device that the wire begins with is not there: whoever is on the wire is blameless."""


class SecurityError(GatewayError):
    """A check that protects data failed: nothing of the message was used."""

    exit_code = 4


class StoreError(GatewayError):
    """The store could not do what was asked; the transaction was rolled back."""


class StoreFull(StoreError):
    """Disk full or the store's byte budget spent; the reading is refused, not dropped."""

    retryable = True


class StoreCorrupt(StoreError):
    """A database file is damaged, or older than its witness says."""
