"""Requests as APDUs, and which response may answer which request."""

from __future__ import annotations

from typing import Final

from gateway.dlms.apdu import (
    ActionRequestNormal,
    ActionResponseNormal,
    GetItem,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    InvokeId,
    SetRequestNormal,
    SetResponseNormal,
)
from gateway.dlms.association.requests import Action, Get, GetList, Request, Set

Response = (
    GetResponseNormal
    | GetResponseWithDatablock
    | GetResponseWithList
    | SetResponseNormal
    | ActionResponseNormal
)
SERVICES: Final[dict[type[Response], tuple[type[Request], ...]]] = {
    GetResponseNormal: (Get,),
    GetResponseWithDatablock: (Get, GetList),
    GetResponseWithList: (GetList,),
    SetResponseNormal: (Set,),
    ActionResponseNormal: (Action,),
}
"""Response -> the kinds of request that it answers."""


def encode_request(request: Request, invoke: InvokeId) -> bytes:
    """The plain APDU that asks."""
    match request:
        case Get(class_id, obis, attribute, access):
            return GetRequestNormal(invoke, class_id, obis, attribute, access).encode()
        case GetList(items):
            listed = tuple(GetItem(i.class_id, i.obis, i.attribute, i.access) for i in items)
            return GetRequestWithList(invoke, listed).encode()
        case Action(class_id, obis, method, data):
            return ActionRequestNormal(invoke, class_id, obis, method, data).encode()
        case _:
            return SetRequestNormal(
                invoke, request.class_id, request.obis, request.attribute, request.data
            ).encode()
