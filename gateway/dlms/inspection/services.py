"""Lists, blocks and reports of the services as dictionaries of the standard's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.apdu import (
    ActionOutcome,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestListFirstBlock,
    ActionRequestNextBlock,
    ActionRequestWithList,
    ActionResponseBlock,
    ActionResponseNextBlock,
    ActionResponseWithList,
    ActionResult,
    AttributeItem,
    DataAccessResult,
    DataBlock,
    EventNotification,
    GetRequestWithList,
    GetResponseWithList,
    InvokeId,
    MethodItem,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestListFirstBlock,
    SetRequestWithList,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseListLastBlock,
    SetResponseWithList,
)
from gateway.dlms.inspection.bodies import time_for_people, value_of
from gateway.dlms.inspection.framing import Described
from gateway.model import DATA_TYPE_NAMES


def invoke_fields(invoke: InvokeId) -> Described:
    """Invoke-id-and-priority."""
    return {
        "invoke_id": invoke.number,
        "confirmed": invoke.confirmed,
        "high_priority": invoke.high_priority,
    }


def payload(data: bytes) -> Described:
    """An A-XDR value; raise DecodeError."""
    decoded = axdr.decode(data)
    return {
        "data_hex": data.hex().upper(),
        "value": value_of(decoded),
        "type": DATA_TYPE_NAMES.get(decoded.tag, str(decoded.tag)),
    }


def _attribute(item: AttributeItem) -> Described:
    return {
        "class_id": item.class_id,
        "obis": item.obis.dotted,
        "attribute": item.attribute,
        "access_selection": item.access is not None,
    }


def _method(item: MethodItem) -> Described:
    return {"class_id": item.class_id, "obis": item.obis.dotted, "method": item.method}


def _block(block: DataBlock) -> Described:
    return {
        "last": block.last,
        "block_number": block.number,
        "data_octets": len(block.data),
        "data_hex": block.data.hex().upper(),
    }


def _result(found: bytes | int) -> Described:
    if isinstance(found, bytes):
        return payload(found)
    return {"error": DataAccessResult.name_of(found)}


def _outcome(outcome: ActionOutcome) -> Described:
    status: Described = {"status": ActionResult.name_of(outcome.result)}
    if outcome.error is not None:
        return status | {"error": DataAccessResult.name_of(outcome.error)}
    return status if outcome.data is None else status | payload(outcome.data)


def _with_values(items: Sequence[Described], values: Sequence[bytes]) -> list[Described]:
    return [item | payload(value) for item, value in zip(items, values, strict=True)]


def _list_request(apdu: SetRequestWithList | ActionRequestWithList) -> Described:
    of_set = isinstance(apdu, SetRequestWithList)
    items = [_attribute(i) if isinstance(i, AttributeItem) else _method(i) for i in apdu.items]
    return {
        "apdu": f"{'SET' if of_set else 'ACTION'}-request-with-list",
        **invoke_fields(apdu.invoke),
        "items": _with_values(items, apdu.values),
    }


def _first_block(
    name: str,
) -> Callable[[SetRequestFirstBlock | ActionRequestFirstBlock], Described]:
    def described(apdu: SetRequestFirstBlock | ActionRequestFirstBlock) -> Described:
        item = apdu.item
        names = _attribute(item) if isinstance(item, AttributeItem) else _method(item)
        return {"apdu": name, **invoke_fields(apdu.invoke), **names, **_block(apdu.block)}

    return described


def _list_first_block(
    name: str,
) -> Callable[[SetRequestListFirstBlock | ActionRequestListFirstBlock], Described]:
    def described(apdu: SetRequestListFirstBlock | ActionRequestListFirstBlock) -> Described:
        items = [_attribute(i) if isinstance(i, AttributeItem) else _method(i) for i in apdu.items]
        return {
            "apdu": name,
            **invoke_fields(apdu.invoke),
            "items": items,
            **_block(apdu.block),
        }

    return described


def _further_block(
    name: str,
) -> Callable[[SetRequestBlock | ActionRequestBlock | ActionResponseBlock], Described]:
    def described(apdu: SetRequestBlock | ActionRequestBlock | ActionResponseBlock) -> Described:
        return {"apdu": name, **invoke_fields(apdu.invoke), **_block(apdu.block)}

    return described


def _acknowledgement(
    name: str,
) -> Callable[[SetResponseBlock | ActionResponseNextBlock | ActionRequestNextBlock], Described]:
    def described(
        apdu: SetResponseBlock | ActionResponseNextBlock | ActionRequestNextBlock,
    ) -> Described:
        return {"apdu": name, **invoke_fields(apdu.invoke), "block_number": apdu.number}

    return described


def _get_list(apdu: GetRequestWithList) -> Described:
    items = [_attribute(item) for item in apdu.items]
    return {"apdu": "GET-request-with-list", **invoke_fields(apdu.invoke), "items": items}


def _get_results(apdu: GetResponseWithList) -> Described:
    items = [_result(one) for one in apdu.results]
    return {"apdu": "GET-response-with-list", **invoke_fields(apdu.invoke), "items": items}


def _set_results(apdu: SetResponseWithList | SetResponseListLastBlock) -> Described:
    last = {"block_number": apdu.number} if isinstance(apdu, SetResponseListLastBlock) else {}
    return {
        "apdu": f"SET-response-{'last-data-block-' if last else ''}with-list",
        **invoke_fields(apdu.invoke),
        **last,
        "results": [DataAccessResult.name_of(one) for one in apdu.results],
    }


def _set_result(apdu: SetResponseLastBlock) -> Described:
    return {
        "apdu": "SET-response-last-data-block",
        **invoke_fields(apdu.invoke),
        "result": DataAccessResult.name_of(apdu.result),
        "block_number": apdu.number,
    }


def _outcomes(apdu: ActionResponseWithList) -> Described:
    items = [_outcome(one) for one in apdu.outcomes]
    return {"apdu": "ACTION-response-with-list", **invoke_fields(apdu.invoke), "items": items}


def _event(apdu: EventNotification) -> Described:
    return {
        "apdu": "event-notification-request",
        "apdu_date_time": time_for_people(apdu.date_time) if apdu.date_time else None,
        "class_id": apdu.class_id,
        "obis": apdu.obis.dotted,
        "attribute": apdu.attribute,
        **payload(apdu.data),
    }


SERVICE_DESCRIBERS: Final[dict[type, Callable[..., Described]]] = {
    GetRequestWithList: _get_list,
    GetResponseWithList: _get_results,
    SetRequestWithList: _list_request,
    SetRequestFirstBlock: _first_block("SET-request-with-first-data-block"),
    SetRequestListFirstBlock: _list_first_block("SET-request-with-list-and-first-data-block"),
    SetRequestBlock: _further_block("SET-request-with-data-block"),
    SetResponseBlock: _acknowledgement("SET-response-data-block"),
    SetResponseLastBlock: _set_result,
    SetResponseListLastBlock: _set_results,
    SetResponseWithList: _set_results,
    ActionRequestWithList: _list_request,
    ActionRequestFirstBlock: _first_block("ACTION-request-with-first-p-block"),
    ActionRequestListFirstBlock: _list_first_block("ACTION-request-with-list-and-first-p-block"),
    ActionRequestBlock: _further_block("ACTION-request-with-p-block"),
    ActionRequestNextBlock: _acknowledgement("ACTION-request-next-p-block"),
    ActionResponseBlock: _further_block("ACTION-response-with-p-block"),
    ActionResponseNextBlock: _acknowledgement("ACTION-response-next-p-block"),
    ActionResponseWithList: _outcomes,
    EventNotification: _event,
}
"""APDU -> its fields by name."""
