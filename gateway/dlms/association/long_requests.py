"""SET data and ACTION parameters that do not fit into one APDU (Green Book 9.4.6.13): both roles.

Return parameters of an ACTION are not sent in blocks.
"""

from __future__ import annotations

from typing import Final

from gateway.dlms.apdu import (
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestNormal,
    ActionResponseNextBlock,
    ActionResponseNormal,
    ActionResult,
    AttributeItem,
    Conformance,
    DataAccessResult,
    DataBlock,
    InvokeId,
    MethodItem,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestNormal,
    SetResponseBlock,
    SetResponseLastBlock,
)
from gateway.dlms.association.requests import Action, AssociationOpened, Set
from gateway.errors import RemoteProtocolError

PDU_OVERHEAD_OCTETS: Final = 48
"""Room for the APDU's own header and the largest ciphering header and tag around a block."""

Block = SetRequestFirstBlock | SetRequestBlock | ActionRequestFirstBlock | ActionRequestBlock
"""What a server takes piece by piece."""


class LongRequest:
    """Client: one request that goes out block by block."""

    def __init__(self, request: Set | Action, data: bytes, invoke: InvokeId, size: int) -> None:
        self._request = request
        self._invoke = invoke
        self._data = data
        self._size = size
        self._number = 0

    @classmethod
    def of(
        cls, request: Set | Action, invoke: InvokeId, opened: AssociationOpened
    ) -> LongRequest | None:
        """The request in blocks; None where it fits in whole or blocks were not agreed on."""
        is_set = isinstance(request, Set)
        bit = (
            Conformance.BLOCK_TRANSFER_WITH_SET
            if is_set
            else Conformance.BLOCK_TRANSFER_WITH_ACTION
        )
        size = max(1, opened.max_pdu_octets - PDU_OVERHEAD_OCTETS)
        data = request.data
        if data is None or not opened.max_pdu_octets or not opened.conformance & bit:
            return None
        return cls(request, data, invoke, size) if len(data) > size else None

    @property
    def sent(self) -> bool:
        """Whether the last block is out."""
        return self._number * self._size >= len(self._data)

    def next(self) -> bytes:
        """The APDU with the next block."""
        start = self._number * self._size
        self._number += 1
        block = DataBlock(self.sent, self._number, self._data[start : start + self._size])
        request = self._request
        first = self._number == 1
        if isinstance(request, Set):
            if first:
                item = AttributeItem(request.class_id, request.obis, request.attribute)
                return SetRequestFirstBlock(self._invoke, item, block).encode()
            return SetRequestBlock(self._invoke, block).encode()
        if first:
            method = MethodItem(request.class_id, request.obis, request.method)
            return ActionRequestFirstBlock(self._invoke, method, block).encode()
        return ActionRequestBlock(self._invoke, block).encode()

    def after(self, number: int) -> bytes:
        """The block behind the one that was acknowledged; raise RemoteProtocolError."""
        if self.sent or number != self._number:
            raise RemoteProtocolError(
                f"block {number} was acknowledged, sent was block {self._number}"
                + (", the last" if self.sent else "")
            )
        return self.next()


class LongReceiver:
    """Server: puts one long request together, never holding more than ``limit_octets`` of it."""

    def __init__(self, limit_octets: int) -> None:
        self._limit_octets = limit_octets
        self._first: SetRequestFirstBlock | ActionRequestFirstBlock | None = None
        self._parts: list[bytes] = []
        self._octets = 0

    def abandon(self) -> None:
        """Forget what has come."""
        self._first = None
        self._parts = []
        self._octets = 0

    def take(self, apdu: Block) -> SetRequestNormal | ActionRequestNormal | bytes:
        """The whole request once its last block is there, else the answer to this block."""
        if isinstance(apdu, (SetRequestFirstBlock, ActionRequestFirstBlock)):
            self.abandon()
            self._first = apdu
        first = self._first
        of_set = isinstance(apdu, (SetRequestFirstBlock, SetRequestBlock))
        if first is None or of_set is not isinstance(first, SetRequestFirstBlock):
            return self._refuse(
                apdu,
                DataAccessResult.NO_LONG_SET_IN_PROGRESS,
                ActionResult.NO_LONG_ACTION_IN_PROGRESS,
            )
        block = apdu.block
        if block.number != len(self._parts) + 1 or apdu.invoke.number != first.invoke.number:
            return self._refuse(
                apdu, DataAccessResult.DATA_BLOCK_NUMBER_INVALID, ActionResult.LONG_ACTION_ABORTED
            )
        self._parts.append(block.data)
        self._octets += len(block.data)
        if self._octets > self._limit_octets or not (block.data or block.last):
            return self._refuse(
                apdu, DataAccessResult.LONG_SET_ABORTED, ActionResult.LONG_ACTION_ABORTED
            )
        if not block.last:
            answer = SetResponseBlock if of_set else ActionResponseNextBlock
            return answer(apdu.invoke, block.number).encode()
        data = b"".join(self._parts)
        self.abandon()
        if isinstance(first, SetRequestFirstBlock):
            class_id, obis, attribute, access = first.item
            return SetRequestNormal(apdu.invoke, class_id, obis, attribute, data, access)
        return ActionRequestNormal(apdu.invoke, *first.item, data)

    def _refuse(self, apdu: Block, of_set: DataAccessResult, of_action: ActionResult) -> bytes:
        self.abandon()
        if isinstance(apdu, (SetRequestFirstBlock, SetRequestBlock)):
            return SetResponseLastBlock(apdu.invoke, of_set, apdu.block.number).encode()
        return ActionResponseNormal(apdu.invoke, of_action).encode()
