"""What a client asks for and what comes back, without the APDUs in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.dlms.selective_access import SelectiveAccess
from gateway.model import Obis


@dataclass(frozen=True, slots=True)
class Get:
    """Read one attribute."""

    class_id: int
    obis: Obis
    attribute: int
    access: SelectiveAccess | None = None


@dataclass(frozen=True, slots=True)
class GetList:
    """Read several attributes in one exchange.

    Only where multiple references were agreed on; ``gateway.dlms.reading.one_by_one`` makes single
    requests of it elsewhere.
    """

    items: tuple[Get, ...]


@dataclass(frozen=True, slots=True)
class Set:
    """Write one attribute; ``data`` is A-XDR, and may be a secret: no repr shows it."""

    class_id: int
    obis: Obis
    attribute: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Action:
    """Invoke one method; ``data`` is A-XDR or None, and may be a secret: no repr shows it."""

    class_id: int
    obis: Obis
    method: int
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SetList:
    """Write several attributes in one exchange, where multiple references were agreed on."""

    items: tuple[Set, ...]


@dataclass(frozen=True, slots=True)
class ActionList:
    """Invoke several methods in one exchange, where multiple references were agreed on."""

    items: tuple[Action, ...]


Request = Get | GetList | Set | SetList | Action | ActionList
LISTS: Final = (GetList, SetList, ActionList)
"""Requests whose answer has one result for each item."""


@dataclass(frozen=True, slots=True)
class AssociationOpened:
    """The association is open for requests."""

    conformance: int
    max_pdu_octets: int
    server_system_title: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The complete answer to the request that was sent last.

    ``data`` is A-XDR: the attribute, the method's return parameters, or b"" where there are
    none. ``items`` has what a list was answered, in its order. The evidence is of the APDU that
    completed the answer.
    """

    data: bytes
    server_system_title: bytes | None = None
    invocation_counter: int | None = None
    items: tuple[bytes | Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The server answered the request, and the answer is no; the association stays open.

    ``reason`` is the standard's name of the data-access-result, action-result or
    exception-response.
    """

    service: str
    reason: str


@dataclass(frozen=True, slots=True)
class Notification:
    """An unsolicited DataNotification: ``date_time`` is 0 or 12 octets, ``data`` A-XDR."""

    long_invoke_id: int
    date_time: bytes
    data: bytes
    server_system_title: bytes | None = None
    invocation_counter: int | None = None


@dataclass(frozen=True, slots=True)
class EventReport:
    """An unsolicited EventNotification: one attribute, ``data`` A-XDR.

    ``date_time`` is 0 or 12 octets.
    """

    date_time: bytes
    class_id: int
    obis: Obis
    attribute: int
    data: bytes
    server_system_title: bytes | None = None
    invocation_counter: int | None = None


Unsolicited = Notification | EventReport


@dataclass(frozen=True, slots=True)
class AssociationClosed:
    """Released and unlinked; ``reason`` is for people."""

    reason: str


Event = AssociationOpened | Answer | Refused | Unsolicited | AssociationClosed
