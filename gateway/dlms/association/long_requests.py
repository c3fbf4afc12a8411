"""SET data and ACTION parameters that do not fit into one APDU (Green Book 9.3.7, 9.3.8)."""

from __future__ import annotations

from typing import Final

from gateway.dlms.apdu import (
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestListFirstBlock,
    ActionRequestNormal,
    ActionRequestWithList,
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
    SetRequestListFirstBlock,
    SetRequestNormal,
    SetRequestWithList,
    SetResponseBlock,
    SetResponseLastBlock,
)
from gateway.dlms.apdu.lists import (
    ATTRIBUTE_OCTETS,
    check_pairs,
    encode_sequence,
    read_sequence,
    read_value,
)
from gateway.dlms.association.requests import (
    Action,
    ActionList,
    AssociationOpened,
    Request,
    Set,
    SetList,
)
from gateway.dlms.association.services import encode_list
from gateway.dlms.axdr.octets import OctetReader
from gateway.errors import DecodeError, LocalProtocolError, RemoteProtocolError

PDU_OVERHEAD_OCTETS: Final = 48
"""Room for the APDU's own header and the largest ciphering header and tag around a block."""

SetBlock = SetRequestFirstBlock | SetRequestListFirstBlock | SetRequestBlock
FirstBlock = (
    SetRequestFirstBlock
    | SetRequestListFirstBlock
    | ActionRequestFirstBlock
    | ActionRequestListFirstBlock
)
Block = FirstBlock | SetRequestBlock | ActionRequestBlock
"""What a server takes piece by piece."""
Whole = SetRequestNormal | SetRequestWithList | ActionRequestNormal | ActionRequestWithList
"""What such pieces become."""

_Long = Set | SetList | Action | ActionList


class LongRequest:
    """Client: one request that goes out block by block."""

    def __init__(
        self, request: _Long, data: bytes, invoke: InvokeId, sizes: tuple[int, int]
    ) -> None:
        self._request = request
        self._invoke = invoke
        self._data = data
        self._first_size, self._size = sizes
        self._number = 0
        self._at = 0

    @classmethod
    def of(
        cls, request: Request, invoke: InvokeId, opened: AssociationOpened
    ) -> LongRequest | None:
        """The request in blocks; None where it fits in whole or blocks were not agreed on.

        Where general block transfer was agreed on, it is what carries long requests. Raises
        LocalProtocolError for a list whose descriptors alone do not fit.
        """
        if not isinstance(request, _Long):
            return None
        most, agreed = opened.max_pdu_octets, opened.conformance
        if not most or agreed & Conformance.GENERAL_BLOCK_TRANSFER:
            return None
        of_set = isinstance(request, (Set, SetList))
        if not agreed & (
            Conformance.BLOCK_TRANSFER_WITH_SET
            if of_set
            else Conformance.BLOCK_TRANSFER_WITH_ACTION
        ):
            return None
        data, descriptors = _parts(request)
        size = max(1, most - PDU_OVERHEAD_OCTETS)
        first_size = size - descriptors
        if len(data) <= first_size:
            return None
        if first_size < 1:
            raise LocalProtocolError(f"the names of such a list do not fit into {most} octets")
        return cls(request, data, invoke, (first_size, size))

    @property
    def sent(self) -> bool:
        """Whether the last block is out."""
        return self._at >= len(self._data)

    def next(self) -> bytes:
        """The APDU with the next block."""
        start = self._at
        self._at += self._size if self._number else self._first_size
        self._number += 1
        block = DataBlock(self.sent, self._number, self._data[start : self._at])
        if self._number == 1:
            return _first_block(self._request, self._invoke, block).encode()
        of_set = isinstance(self._request, (Set, SetList))
        follows = SetRequestBlock if of_set else ActionRequestBlock
        return follows(self._invoke, block).encode()

    def after(self, number: int) -> bytes:
        """The block behind the one that was acknowledged; raise RemoteProtocolError."""
        if self.sent or number != self._number:
            raise RemoteProtocolError(
                f"block {number} was acknowledged, sent was block {self._number}"
                + (", the last" if self.sent else "")
            )
        return self.next()


def _parts(request: _Long) -> tuple[bytes, int]:
    """What the blocks carry, and octets of descriptors beyond those of a single request."""
    if isinstance(request, (Set, Action)):
        return request.data or b"", 0
    return encode_sequence(encode_list(request, _ANY).values), len(request.items) * ATTRIBUTE_OCTETS


_ANY: Final = InvokeId()


def _first_block(request: _Long, invoke: InvokeId, block: DataBlock) -> FirstBlock:
    match request:
        case Set(class_id, obis, attribute):
            item = AttributeItem(class_id, obis, attribute)
            return SetRequestFirstBlock(invoke, item, block)
        case Action(class_id, obis, method):
            return ActionRequestFirstBlock(invoke, MethodItem(class_id, obis, method), block)
        case _:
            whole = encode_list(request, invoke)
    if isinstance(whole, SetRequestWithList):
        return SetRequestListFirstBlock(invoke, whole.items, block)
    return ActionRequestListFirstBlock(invoke, whole.items, block)


class LongReceiver:
    """Server: puts one long request together, never holding more than ``limit_octets`` of it."""

    def __init__(self, limit_octets: int) -> None:
        self._limit_octets = limit_octets
        self._first: FirstBlock | None = None
        self._parts: list[bytes] = []
        self._octets = 0

    def abandon(self) -> None:
        """Forget what has come."""
        self._first = None
        self._parts = []
        self._octets = 0

    def take(self, apdu: Block) -> Whole | bytes:
        """The whole request once its last block is there, else the answer to this block."""
        if isinstance(apdu, FirstBlock):
            self.abandon()
            self._first = apdu
        first = self._first
        of_set = isinstance(apdu, SetBlock)
        if first is None or of_set is not isinstance(first, SetBlock):
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
            return self._abort(apdu)
        if not block.last:
            answer = SetResponseBlock if of_set else ActionResponseNextBlock
            return answer(apdu.invoke, block.number).encode()
        data = b"".join(self._parts)
        self.abandon()
        try:
            return _whole(first, apdu.invoke, data)
        except DecodeError:
            return self._abort(apdu)

    def _abort(self, apdu: Block) -> bytes:
        return self._refuse(
            apdu, DataAccessResult.LONG_SET_ABORTED, ActionResult.LONG_ACTION_ABORTED
        )

    def _refuse(self, apdu: Block, of_set: DataAccessResult, of_action: ActionResult) -> bytes:
        self.abandon()
        if isinstance(apdu, SetBlock):
            return SetResponseLastBlock(apdu.invoke, of_set, apdu.block.number).encode()
        return ActionResponseNormal(apdu.invoke, of_action).encode()


def _whole(first: FirstBlock, invoke: InvokeId, data: bytes) -> Whole:
    """The request that the blocks carried; raise DecodeError for a list that is none."""
    match first:
        case SetRequestFirstBlock(item=(class_id, obis, attribute, access)):
            return SetRequestNormal(invoke, class_id, obis, attribute, data, access)
        case ActionRequestFirstBlock(item=item):
            return ActionRequestNormal(invoke, *item, data)
        case SetRequestListFirstBlock(items=attributes):
            values = _read_values(data, len(attributes))
            return SetRequestWithList(invoke, attributes, values)
        case ActionRequestListFirstBlock(items=methods):
            return ActionRequestWithList(invoke, methods, _read_values(data, len(methods)))


def _read_values(data: bytes, count: int) -> tuple[bytes, ...]:
    reader = OctetReader(data, "list in blocks")
    values = read_sequence(reader, "values", 1, read_value)
    reader.end()
    check_pairs(reader, count, len(values))
    return values
