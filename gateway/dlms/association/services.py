"""Requests as APDUs, and which response may answer which request."""

from __future__ import annotations

from typing import Final

from gateway.dlms.apdu import (
    ActionRequestNormal,
    ActionResponseNextBlock,
    ActionResponseNormal,
    ActionResult,
    AttributeItem,
    DataAccessResult,
    DataNotification,
    EventNotification,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    InvokeId,
    SetRequestNormal,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseNormal,
)
from gateway.dlms.association.requests import (
    Action,
    EventReport,
    Get,
    GetList,
    Notification,
    Refused,
    Request,
    Set,
    Unsolicited,
)

Response = (
    GetResponseNormal
    | GetResponseWithDatablock
    | GetResponseWithList
    | SetResponseNormal
    | SetResponseBlock
    | SetResponseLastBlock
    | ActionResponseNormal
    | ActionResponseNextBlock
)
SERVICES: Final[dict[type[Response], tuple[type[Request], ...]]] = {
    GetResponseNormal: (Get,),
    GetResponseWithDatablock: (Get, GetList),
    GetResponseWithList: (GetList,),
    SetResponseNormal: (Set,),
    SetResponseBlock: (Set,),
    SetResponseLastBlock: (Set,),
    ActionResponseNormal: (Action,),
    ActionResponseNextBlock: (Action,),
}
"""Response -> the kinds of request that it answers."""


def encode_request(request: Request, invoke: InvokeId) -> bytes:
    """The plain APDU that asks."""
    match request:
        case Get(class_id, obis, attribute, access):
            return GetRequestNormal(invoke, class_id, obis, attribute, access).encode()
        case GetList(items):
            listed = tuple(AttributeItem(i.class_id, i.obis, i.attribute, i.access) for i in items)
            return GetRequestWithList(invoke, listed).encode()
        case Action(class_id, obis, method, data):
            return ActionRequestNormal(invoke, class_id, obis, method, data).encode()
        case _:
            return SetRequestNormal(
                invoke, request.class_id, request.obis, request.attribute, request.data
            ).encode()


Outcome = GetResponseNormal | SetResponseNormal | SetResponseLastBlock | ActionResponseNormal
"""What ends a request for one thing."""


def read_outcome(apdu: Outcome) -> bytes | Refused:
    """The A-XDR that was answered (b"" for none), or the refusal by its standard name."""
    match apdu:
        case GetResponseNormal(data=bytes(data)):
            return data
        case GetResponseNormal():
            return Refused("GET", DataAccessResult.name_of(apdu.error or 0))
        case SetResponseNormal() | SetResponseLastBlock():
            if apdu.result != DataAccessResult.SUCCESS:
                return Refused("SET", DataAccessResult.name_of(apdu.result))
            return b""
        case ActionResponseNormal():
            if apdu.result != ActionResult.SUCCESS:
                return Refused("ACTION", ActionResult.name_of(apdu.result))
            if apdu.error:
                return Refused("ACTION", DataAccessResult.name_of(apdu.error))
            return apdu.data or b""


def list_items(results: tuple[bytes | int, ...]) -> tuple[bytes | Refused, ...]:
    """A list's results, refusals by their standard names."""
    return tuple(
        one if isinstance(one, bytes) else Refused("GET", DataAccessResult.name_of(one))
        for one in results
    )


def read_unsolicited(
    apdu: DataNotification | EventNotification, title: bytes | None, counter: int | None
) -> Unsolicited:
    """What came unasked, with the system title and invocation counter that protected it."""
    if isinstance(apdu, DataNotification):
        return Notification(apdu.invoke.number, apdu.date_time, apdu.data, title, counter)
    return EventReport(
        apdu.date_time, apdu.class_id, apdu.obis, apdu.attribute, apdu.data, title, counter
    )
