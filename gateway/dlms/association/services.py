"""Requests as APDUs, which response may answer which request, and what a response says."""

from __future__ import annotations

from typing import Final

from gateway.dlms.apdu import (
    ActionOutcome,
    ActionRequestNormal,
    ActionRequestWithList,
    ActionResponseBlock,
    ActionResponseNextBlock,
    ActionResponseNormal,
    ActionResponseWithList,
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
    MethodItem,
    SetRequestNormal,
    SetRequestWithList,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseListLastBlock,
    SetResponseNormal,
    SetResponseWithList,
)
from gateway.dlms.association.requests import (
    Action,
    ActionList,
    EventReport,
    Get,
    GetList,
    Notification,
    Refused,
    Request,
    Set,
    SetList,
    Unsolicited,
)

Response = (
    GetResponseNormal
    | GetResponseWithDatablock
    | GetResponseWithList
    | SetResponseNormal
    | SetResponseBlock
    | SetResponseLastBlock
    | SetResponseListLastBlock
    | SetResponseWithList
    | ActionResponseNormal
    | ActionResponseBlock
    | ActionResponseNextBlock
    | ActionResponseWithList
)
SERVICES: Final[dict[type[Response], tuple[type[Request], ...]]] = {
    GetResponseNormal: (Get,),
    GetResponseWithDatablock: (Get, GetList),
    GetResponseWithList: (GetList,),
    SetResponseNormal: (Set,),
    SetResponseBlock: (Set, SetList),
    # A list that was given up on has one result; so has a list of methods.
    SetResponseLastBlock: (Set, SetList),
    SetResponseListLastBlock: (SetList,),
    SetResponseWithList: (SetList,),
    ActionResponseNormal: (Action, ActionList),
    ActionResponseBlock: (Action, ActionList),
    ActionResponseNextBlock: (Action, ActionList),
    ActionResponseWithList: (ActionList,),
}
"""Response -> the kinds of request that it answers."""

NO_PARAMETER: Final = b"\x00"
"""null-data: what stands in a list of parameters for a method without one."""


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
        case Set(class_id, obis, attribute, value):
            return SetRequestNormal(invoke, class_id, obis, attribute, value).encode()
        case SetList() | ActionList():
            return encode_list(request, invoke).encode()


def encode_list(
    request: SetList | ActionList, invoke: InvokeId
) -> SetRequestWithList | ActionRequestWithList:
    """A list that carries values, as its APDU."""
    if isinstance(request, SetList):
        attributes = tuple(AttributeItem(i.class_id, i.obis, i.attribute) for i in request.items)
        return SetRequestWithList(invoke, attributes, tuple(i.data for i in request.items))
    methods = tuple(MethodItem(i.class_id, i.obis, i.method) for i in request.items)
    values = tuple(NO_PARAMETER if i.data is None else i.data for i in request.items)
    return ActionRequestWithList(invoke, methods, values)


Result = bytes | Refused
"""A-XDR that was answered (b"" for none), or the refusal by its standard name."""


def get_result(found: bytes | int | None) -> Result:
    """What one attribute was answered: A-XDR, or a data-access-result."""
    if isinstance(found, bytes):
        return found
    return Refused("GET", DataAccessResult.name_of(found or 0))


def set_result(result: int) -> Result:
    """What one write was answered."""
    if result == DataAccessResult.SUCCESS:
        return b""
    return Refused("SET", DataAccessResult.name_of(result))


def action_result(outcome: ActionOutcome | ActionResponseNormal) -> Result:
    """What one method was answered."""
    if outcome.result != ActionResult.SUCCESS:
        return Refused("ACTION", ActionResult.name_of(outcome.result))
    if outcome.error:
        return Refused("ACTION", DataAccessResult.name_of(outcome.error))
    return outcome.data or b""


def read_unsolicited(
    apdu: DataNotification | EventNotification, title: bytes | None, counter: int | None
) -> Unsolicited:
    """What came unasked, with the system title and invocation counter that protected it."""
    if isinstance(apdu, DataNotification):
        return Notification(apdu.invoke.number, apdu.date_time, apdu.data, title, counter)
    return EventReport(
        apdu.date_time, apdu.class_id, apdu.obis, apdu.attribute, apdu.data, title, counter
    )
