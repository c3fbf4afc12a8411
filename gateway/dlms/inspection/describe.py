"""One APDU as a dictionary of the standard's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.apdu import (
    Aare,
    Aarq,
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResult,
    Apdu,
    AssociationResult,
    ConfirmedServiceError,
    Conformance,
    DataAccessResult,
    DataNotification,
    DiagnosticSource,
    ExceptionResponse,
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
    InitiateRequest,
    InitiateResponse,
    Mechanism,
    ProviderDiagnostic,
    ReleaseReason,
    Rlre,
    Rlrq,
    SetRequestNormal,
    SetResponseNormal,
    UserDiagnostic,
)
from gateway.dlms.inspection.bodies import Body, time_for_people, value_of
from gateway.dlms.inspection.framing import Described
from gateway.dlms.inspection.services import SERVICE_DESCRIBERS, invoke_fields, payload
from gateway.dlms.rows import decode_rows
from gateway.dlms.selective_access import (
    EntryDescriptor,
    RangeDescriptor,
    SelectiveAccess,
)
from gateway.errors import DecodeError
from gateway.model import DATA_TYPE_NAMES

_MECHANISMS: Final[dict[int, str]] = {
    Mechanism.LLS: "LLS",
    Mechanism.HLS: "HLS",
    Mechanism.HLS_MD5: "HLS-MD5",
    Mechanism.HLS_SHA1: "HLS-SHA1",
    Mechanism.HLS_GMAC: "HLS-GMAC",
    Mechanism.HLS_SHA256: "HLS-SHA256",
    Mechanism.HLS_ECDSA: "HLS-ECDSA",
}
_CONFORMANCE_NAMES: Final = {
    "block_transfer_with_get": "block_transfer_with_get_or_read",
    "block_transfer_with_set": "block_transfer_with_set_or_write",
}
_CIPHERED_CONTEXTS: Final = (3, 4)
_FIRST_OCTETS: Final = 12
TAGGED_DATE_TIME: Final = "tagged-date-time"
"""Name of the quirk that a DataNotification's date-time is a tagged octet-string."""


def describe(apdu: Apdu) -> Described:
    """Fields of one plain APDU by name; raise DecodeError for payload data that is no A-XDR."""
    describer = _DESCRIBERS.get(type(apdu))
    if describer is None:
        raise DecodeError(f"{type(apdu).__name__} has no description")
    return describer(apdu)


def _conformance(conformance: Conformance) -> list[str]:
    return [_CONFORMANCE_NAMES.get(name, name) for name in conformance.names]


def _ascii(octets: bytes) -> str | None:
    return octets.decode("ascii") if octets.isascii() else None


def _aarq(apdu: Aarq) -> Described:
    authentication = apdu.authentication
    return {
        "apdu": "AARQ",
        "ciphered": apdu.application_context in _CIPHERED_CONTEXTS,
        "system_title": apdu.calling_ap_title.hex().upper() if apdu.calling_ap_title else None,
        "mechanism": _MECHANISMS.get(apdu.mechanism, apdu.mechanism or None),
        "mechanism_present": apdu.mechanism != Mechanism.NONE,
        "authentication_value_present": authentication is not None,
        "authentication_value_ascii": _ascii(authentication.reveal()) if authentication else None,
    }


def _aare(apdu: Aare) -> Described:
    by_user = apdu.diagnostic_source == DiagnosticSource.ACSE_SERVICE_USER
    names = UserDiagnostic if by_user else ProviderDiagnostic
    return {
        "apdu": "AARE",
        "ciphered": apdu.application_context in _CIPHERED_CONTEXTS,
        "result": AssociationResult.name_of(apdu.result),
        "diagnostic": names.name_of(apdu.diagnostic),
        "system_title": (
            apdu.responding_ap_title.hex().upper() if apdu.responding_ap_title else None
        ),
        "mechanism": _MECHANISMS.get(apdu.mechanism, apdu.mechanism or None),
        "authentication_value_ascii": (
            _ascii(apdu.authentication) if apdu.authentication else None
        ),
    }


def _release(name: str) -> Callable[[Rlrq | Rlre], Described]:
    def described(apdu: Rlrq | Rlre) -> Described:
        reason = None if apdu.reason is None else ReleaseReason.name_of(apdu.reason)
        return {"apdu": name, "reason": reason}

    return described


def _initiate_request(apdu: InitiateRequest) -> Described:
    return {
        "apdu": "InitiateRequest",
        "conformance": _conformance(apdu.conformance),
        "client_max_receive_pdu_size": apdu.max_pdu_octets,
        "dlms_version": apdu.dlms_version,
        "response_allowed": apdu.response_allowed,
        "quality_of_service": apdu.quality_of_service,
        "dedicated_key": apdu.dedicated_key.reveal().hex().upper() if apdu.dedicated_key else None,
    }


def _initiate_response(apdu: InitiateResponse) -> Described:
    return {
        "apdu": "InitiateResponse",
        "conformance": _conformance(apdu.conformance),
        "server_max_receive_pdu_size": apdu.max_pdu_octets,
        "dlms_version": apdu.dlms_version,
        "quality_of_service": apdu.quality_of_service or 0,
    }


def _access(access: SelectiveAccess | None) -> Described:
    if access is None:
        return {"access_selection": False}
    if isinstance(access, RangeDescriptor):
        return {
            "access_selection": True,
            "selector": "range",
            "restricting_object": access.restricting.obis.dotted,
            "from": value_of(access.from_value),
            "to": value_of(access.to_value),
            "selected_columns": [str(column) for column in access.columns] or "all",
        }
    if isinstance(access, EntryDescriptor):
        return {
            "access_selection": True,
            "selector": "entry",
            "from_entry": access.from_entry,
            "to_entry": access.to_entry,
        }
    return {"access_selection": True, "selector": access.selector}


def _get_request(apdu: GetRequestNormal) -> Described:
    return {
        "apdu": "GET-request-normal",
        **invoke_fields(apdu.invoke),
        "class_id": apdu.class_id,
        "obis": apdu.obis.dotted,
        "attribute": apdu.attribute,
        **_access(apdu.access),
    }


def _get_next(apdu: GetRequestNext) -> Described:
    return {"apdu": "GET-request-next", **invoke_fields(apdu.invoke), "block_number": apdu.number}


def describe_data(octets: bytes) -> Described:
    """A-XDR without an APDU around it: its value, and for a profile buffer its size.

    Raises DecodeError or LimitExceeded.
    """
    data = axdr.decode(octets)
    described: Described = {
        "apdu": "none",
        "type": DATA_TYPE_NAMES.get(data.tag, str(data.tag)),
        "value": value_of(data),
    }
    if data.tag == axdr.Tag.ARRAY:
        try:
            rows = decode_rows(octets)
        except DecodeError:
            return described
        described |= {"rows": len(rows), "columns": len(rows[0].values) if rows else 0}
    return described


def _get_response(apdu: GetResponseNormal) -> Described:
    head: Described = {"apdu": "GET-response-normal", **invoke_fields(apdu.invoke)}
    if apdu.data is None:
        return head | {"error": DataAccessResult.name_of(apdu.error or 0)}
    return head | payload(apdu.data)


def _get_block(apdu: GetResponseWithDatablock) -> Described:
    head: Described = {
        "apdu": "GET-response-with-data-block",
        **invoke_fields(apdu.invoke),
        "last": apdu.last,
        "block_number": apdu.number,
    }
    if apdu.data is None:
        return head | {"error": DataAccessResult.name_of(apdu.error or 0)}
    return head | {
        "data_octets": len(apdu.data),
        "data_hex_first": apdu.data[:_FIRST_OCTETS].hex().upper(),
        "data_hex": apdu.data.hex().upper(),
    }


def _set_request(apdu: SetRequestNormal) -> Described:
    return {
        "apdu": "SET-request-normal",
        **invoke_fields(apdu.invoke),
        "class_id": apdu.class_id,
        "obis": apdu.obis.dotted,
        "attribute": apdu.attribute,
        **payload(apdu.data),
    }


def _set_response(apdu: SetResponseNormal) -> Described:
    return {
        "apdu": "SET-response-normal",
        **invoke_fields(apdu.invoke),
        "result": DataAccessResult.name_of(apdu.result),
    }


def _action_request(apdu: ActionRequestNormal) -> Described:
    head: Described = {
        "apdu": "ACTION-request-normal",
        **invoke_fields(apdu.invoke),
        "class_id": apdu.class_id,
        "obis": apdu.obis.dotted,
        "method": apdu.method,
        "data": apdu.data is not None,
    }
    return head if apdu.data is None else head | payload(apdu.data)


def _action_response(apdu: ActionResponseNormal) -> Described:
    head: Described = {
        "apdu": "ACTION-response-normal",
        **invoke_fields(apdu.invoke),
        "status": ActionResult.name_of(apdu.result),
    }
    if apdu.error is not None:
        return head | {"error": DataAccessResult.name_of(apdu.error)}
    return head if apdu.data is None else head | payload(apdu.data)


def _notification(apdu: DataNotification) -> Described:
    data = axdr.decode(apdu.data)
    body = Body(data)
    positions = body.positions or [value_of(data)]
    when = time_for_people(apdu.date_time) if apdu.date_time else None
    described: Described = {
        "apdu": "DataNotification",
        "long_invoke_id": apdu.invoke.number,
        "apdu_date_time": when,
        "date_time": when or "none",
        "body_elements": body.elements,
        "body_pairs": len(body.named),
        "obis": body.named,
        "without_obis": body.unnamed,
        "position": {str(index): value for index, value in enumerate(positions)},
        "first_element": positions[0] if positions else None,
        "last_element": positions[-1] if positions else None,
    }
    if apdu.tagged_date_time:
        described["quirk"] = TAGGED_DATE_TIME
    return described


def _exception(apdu: ExceptionResponse) -> Described:
    return {"apdu": "exception-response", "reason": apdu.reason}


def _service_error(apdu: ConfirmedServiceError) -> Described:
    kind, _, value = apdu.reason.partition(": ")
    return {
        "apdu": "confirmed-service-error",
        "service": apdu.service_name,
        f"{kind}_error": value,
    }


_DESCRIBERS: Final[dict[type, Callable[..., Described]]] = {
    Aarq: _aarq,
    Aare: _aare,
    Rlrq: _release("RLRQ"),
    Rlre: _release("RLRE"),
    InitiateRequest: _initiate_request,
    InitiateResponse: _initiate_response,
    GetRequestNormal: _get_request,
    GetRequestNext: _get_next,
    GetResponseNormal: _get_response,
    GetResponseWithDatablock: _get_block,
    SetRequestNormal: _set_request,
    SetResponseNormal: _set_response,
    ActionRequestNormal: _action_request,
    ActionResponseNormal: _action_response,
    DataNotification: _notification,
    ExceptionResponse: _exception,
    ConfirmedServiceError: _service_error,
    **SERVICE_DESCRIBERS,
}
