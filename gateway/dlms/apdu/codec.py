"""Any APDU from its octets, by tag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.dlms.apdu.acse import (
    Aare,
    Aarq,
    Rlre,
    Rlrq,
    read_aare,
    read_aarq,
    read_rlre,
    read_rlrq,
)
from gateway.dlms.apdu.action import (
    ActionRequest,
    ActionResponse,
    read_action_request,
    read_action_response,
)
from gateway.dlms.apdu.block_transfer import GeneralBlockTransfer, read_block_transfer
from gateway.dlms.apdu.ciphered import CIPHERED_NAMES, CipheredApdu
from gateway.dlms.apdu.get import (
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    read_get_request,
    read_get_response,
)
from gateway.dlms.apdu.initiate import (
    InitiateRequest,
    InitiateResponse,
    read_initiate_request,
    read_initiate_response,
)
from gateway.dlms.apdu.notification import (
    DataNotification,
    EventNotification,
    read_event_notification,
    read_notification,
)
from gateway.dlms.apdu.refusal import (
    ConfirmedServiceError,
    ExceptionResponse,
    read_confirmed_service_error,
    read_exception_response,
)
from gateway.dlms.apdu.set import (
    SetRequest,
    SetResponse,
    read_set_request,
    read_set_response,
)
from gateway.dlms.axdr.octets import OctetReader
from gateway.dlms.limits import Limits
from gateway.errors import DecodeError, LimitExceeded

Apdu = (
    InitiateRequest
    | InitiateResponse
    | ConfirmedServiceError
    | DataNotification
    | EventNotification
    | Aarq
    | Aare
    | Rlrq
    | Rlre
    | GetRequestNormal
    | GetRequestNext
    | GetResponseNormal
    | GetResponseWithDatablock
    | GetRequestWithList
    | GetResponseWithList
    | SetRequest
    | SetResponse
    | ActionRequest
    | ActionResponse
    | ExceptionResponse
    | CipheredApdu
    | GeneralBlockTransfer
)

_READERS: Final[dict[int, tuple[str, Callable[[OctetReader], Apdu]]]] = {
    0x01: ("initiate-request", read_initiate_request),
    0x08: ("initiate-response", read_initiate_response),
    0x0E: ("confirmed-service-error", read_confirmed_service_error),
    0x60: ("AARQ", read_aarq),
    0x61: ("AARE", read_aare),
    0x62: ("RLRQ", read_rlrq),
    0x63: ("RLRE", read_rlre),
    0xC0: ("get-request", read_get_request),
    0xC1: ("set-request", read_set_request),
    0xC2: ("event-notification", read_event_notification),
    0xC3: ("action-request", read_action_request),
    0xC4: ("get-response", read_get_response),
    0xC5: ("set-response", read_set_response),
    0xC7: ("action-response", read_action_response),
    0xD8: ("exception-response", read_exception_response),
    0xE0: ("general-block-transfer", read_block_transfer),
}

_NOT_YET: Final = {
    0x05: "read-request",
    0x06: "write-request",
    0x0C: "read-response",
    0x0D: "write-response",
    0x16: "unconfirmed-write-request",
    0x18: "information-report-request",
    0xD9: "access-request",
    0xDA: "access-response",
    0xDD: "general-ciphering",
    0xDF: "general-signing",
}
"""APDUs of the standard that this product does not speak, so that they can be named."""

_DATA_NOTIFICATION: Final = 0x0F


def decode_apdu(
    octets: bytes, *, limits: Limits | None = None, tagged_date_time: bool = False
) -> Apdu:
    """Read one whole APDU, nothing behind it.

    ``tagged_date_time`` takes the DataNotification of meters that write the date-time as a
    tagged octet-string. Raises DecodeError, and LimitExceeded for an APDU beyond
    ``limits.apdu_octets``. Payload data are not looked into; decode them with ``axdr``.
    """
    if not octets:
        raise DecodeError("an APDU needs at least its tag", 0)
    allowed = (limits or _DEFAULT_LIMITS).apdu_octets
    if len(octets) > allowed:
        raise LimitExceeded(f"APDU of {len(octets)} octets, allowed are {allowed}")
    tag = octets[0]
    if tag in _READERS:
        name, read = _READERS[tag]
        return read(OctetReader(octets, name, 1))
    if tag == _DATA_NOTIFICATION:
        reader = OctetReader(octets, "data-notification", 1)
        return read_notification(reader, tagged_date_time=tagged_date_time)
    if tag in CIPHERED_NAMES:
        return CipheredApdu.decode(octets)
    if tag in _NOT_YET:
        raise DecodeError(f"{_NOT_YET[tag]} ({tag:#04x}) is not supported", 0)
    raise DecodeError(f"{tag:#04x} is no APDU tag", 0)


_DEFAULT_LIMITS: Final = Limits()
