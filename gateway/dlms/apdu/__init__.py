"""One frozen dataclass per APDU, each with ``encode()``; ``decode_apdu`` reads any of them.

Payload data stay raw A-XDR octets, so evidence is never re-encoded.
"""

from __future__ import annotations

from gateway.dlms.apdu.acse import (
    Aare,
    Aarq,
    ApplicationContext,
    DiagnosticSource,
    Mechanism,
    ReleaseReason,
    Rlre,
    Rlrq,
)
from gateway.dlms.apdu.action import (
    ActionOutcome,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestListFirstBlock,
    ActionRequestNextBlock,
    ActionRequestNormal,
    ActionRequestWithList,
    ActionResponseBlock,
    ActionResponseNextBlock,
    ActionResponseNormal,
    ActionResponseWithList,
    encode_outcomes,
    read_long_outcome,
    read_outcomes,
)
from gateway.dlms.apdu.block_transfer import GeneralBlockTransfer
from gateway.dlms.apdu.ciphered import CipheredApdu
from gateway.dlms.apdu.codec import Apdu, decode_apdu
from gateway.dlms.apdu.common import InvokeId, LongInvokeId
from gateway.dlms.apdu.get import (
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    encode_results,
    read_results,
)
from gateway.dlms.apdu.initiate import Conformance, InitiateRequest, InitiateResponse
from gateway.dlms.apdu.lists import AttributeItem, DataBlock, MethodItem
from gateway.dlms.apdu.notification import DataNotification, EventNotification
from gateway.dlms.apdu.refusal import ConfirmedServiceError, ExceptionResponse
from gateway.dlms.apdu.results import (
    ActionResult,
    AssociationResult,
    DataAccessResult,
    ProviderDiagnostic,
    ServiceError,
    StateError,
    UserDiagnostic,
)
from gateway.dlms.apdu.set import (
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestListFirstBlock,
    SetRequestNormal,
    SetRequestWithList,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseListLastBlock,
    SetResponseNormal,
    SetResponseWithList,
)

__all__ = [
    "Aare",
    "Aarq",
    "ActionOutcome",
    "ActionRequestBlock",
    "ActionRequestFirstBlock",
    "ActionRequestListFirstBlock",
    "ActionRequestNextBlock",
    "ActionRequestNormal",
    "ActionRequestWithList",
    "ActionResponseBlock",
    "ActionResponseNextBlock",
    "ActionResponseNormal",
    "ActionResponseWithList",
    "ActionResult",
    "Apdu",
    "ApplicationContext",
    "AssociationResult",
    "AttributeItem",
    "CipheredApdu",
    "ConfirmedServiceError",
    "Conformance",
    "DataAccessResult",
    "DataBlock",
    "DataNotification",
    "DiagnosticSource",
    "EventNotification",
    "ExceptionResponse",
    "GeneralBlockTransfer",
    "GetRequestNext",
    "GetRequestNormal",
    "GetRequestWithList",
    "GetResponseNormal",
    "GetResponseWithDatablock",
    "GetResponseWithList",
    "InitiateRequest",
    "InitiateResponse",
    "InvokeId",
    "LongInvokeId",
    "Mechanism",
    "MethodItem",
    "ProviderDiagnostic",
    "ReleaseReason",
    "Rlre",
    "Rlrq",
    "ServiceError",
    "SetRequestBlock",
    "SetRequestFirstBlock",
    "SetRequestListFirstBlock",
    "SetRequestNormal",
    "SetRequestWithList",
    "SetResponseBlock",
    "SetResponseLastBlock",
    "SetResponseListLastBlock",
    "SetResponseNormal",
    "SetResponseWithList",
    "StateError",
    "UserDiagnostic",
    "decode_apdu",
    "encode_outcomes",
    "encode_results",
    "read_long_outcome",
    "read_outcomes",
    "read_results",
]
