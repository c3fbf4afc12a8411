"""What a meter answers to a request: its object model asked, in one APDU or in blocks."""

from __future__ import annotations

from gateway.dlms.apdu import (
    ActionOutcome,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestListFirstBlock,
    ActionRequestNextBlock,
    ActionRequestNormal,
    ActionRequestWithList,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResult,
    Apdu,
    AttributeItem,
    Conformance,
    DataAccessResult,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithList,
    InvokeId,
    MethodItem,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestListFirstBlock,
    SetRequestNormal,
    SetRequestWithList,
    SetResponseLastBlock,
    SetResponseListLastBlock,
    SetResponseNormal,
    SetResponseWithList,
    encode_outcomes,
    encode_results,
)
from gateway.dlms.association.long_answers import LongAnswer, Next
from gateway.dlms.association.long_requests import PDU_OVERHEAD_OCTETS, Block, LongReceiver
from gateway.dlms.association.port import AccessRefused, MeterObjects
from gateway.dlms.association.services import NO_PARAMETER
from gateway.dlms.limits import Limits


class Serving:
    """Serves the requests of one association, one after the other.

    ``conformance`` is what was agreed on, ``max_pdu_octets`` the most that one answer may have; 0
    where another layer cuts up what is longer.
    """

    def __init__(self, objects: MeterObjects, name: str, limits: Limits) -> None:
        self._objects = objects
        self._name = name
        self._long = LongReceiver(limits.transfer_octets)
        self._answer = LongAnswer()
        self._conformance = Conformance(0)
        self._max_pdu_octets = 0

    def begin(self, conformance: Conformance, max_pdu_octets: int) -> None:
        """A new association: nothing of the former is under way any more."""
        self._conformance = conformance
        self._max_pdu_octets = max_pdu_octets
        self._long.abandon()
        self._answer.abandon()

    def serve(self, apdu: Apdu) -> bytes | None:
        """The plain APDU that answers; None for a service that was not agreed on."""
        if not isinstance(apdu, Block):
            self._long.abandon()
        if not isinstance(apdu, Next):
            self._answer.abandon()
        match apdu:
            case GetRequestNormal():
                return self._get(apdu)
            case SetRequestNormal():
                return SetResponseNormal(apdu.invoke, self._set(apdu)).encode()
            case ActionRequestNormal():
                return self._respond(apdu.invoke, self._act(_method(apdu), apdu.data))
            case GetRequestNext() | ActionRequestNextBlock():
                return self._answer.after(apdu)
            case GetRequestWithList() | SetRequestWithList() | ActionRequestWithList():
                lists = self._conformance & Conformance.MULTIPLE_REFERENCES
                return self._list(apdu) if lists else None
            case SetRequestFirstBlock() | SetRequestListFirstBlock() | SetRequestBlock():
                agreed = self._conformance & Conformance.BLOCK_TRANSFER_WITH_SET
                return self._take_block(apdu) if agreed else None
            case ActionRequestFirstBlock() | ActionRequestListFirstBlock() | ActionRequestBlock():
                agreed = self._conformance & Conformance.BLOCK_TRANSFER_WITH_ACTION
                return self._take_block(apdu) if agreed else None
            case _:
                return None

    def _fits(self, octets: bytes) -> bool:
        most = self._max_pdu_octets
        return not most or len(octets) + PDU_OVERHEAD_OCTETS <= most

    def _in_blocks(self, asks: type[Next], invoke: InvokeId, octets: bytes) -> bytes:
        size = max(1, self._max_pdu_octets - PDU_OVERHEAD_OCTETS)
        return self._answer.begin(asks, invoke, octets, size)

    # -- single ------------------------------------------------------------------------------

    def _get(self, apdu: GetRequestNormal) -> bytes:
        item = AttributeItem(apdu.class_id, apdu.obis, apdu.attribute, apdu.access)
        found = self._read(item)
        if isinstance(found, int):
            return GetResponseNormal(apdu.invoke, error=found).encode()
        if self._fits(found):
            return GetResponseNormal(apdu.invoke, found).encode()
        return self._in_blocks(GetRequestNext, apdu.invoke, found)

    def _read(self, item: AttributeItem) -> bytes | int:
        try:
            return self._objects.get(self._name, *item)
        except AccessRefused as refusal:
            return refusal.result

    def _set(self, apdu: SetRequestNormal) -> int:
        return self._write(AttributeItem(apdu.class_id, apdu.obis, apdu.attribute), apdu.data)

    def _write(self, item: AttributeItem, data: bytes) -> int:
        try:
            self._objects.set(self._name, item.class_id, item.obis, item.attribute, data)
        except AccessRefused as refusal:
            return refusal.result
        return DataAccessResult.SUCCESS

    def _act(self, item: MethodItem, data: bytes | None) -> ActionOutcome:
        try:
            return ActionOutcome(
                ActionResult.SUCCESS, self._objects.action(self._name, *item, data)
            )
        except AccessRefused as refusal:
            return ActionOutcome(refusal.result)

    def _respond(self, invoke: InvokeId, outcome: ActionOutcome) -> bytes:
        whole = ActionResponseNormal(invoke, *outcome).encode()
        blocks = self._conformance & Conformance.BLOCK_TRANSFER_WITH_ACTION
        if self._fits(whole) or not blocks:
            return whole
        return self._in_blocks(ActionRequestNextBlock, invoke, outcome.encode())

    # -- lists -------------------------------------------------------------------------------

    def _list(self, apdu: GetRequestWithList | SetRequestWithList | ActionRequestWithList) -> bytes:
        if isinstance(apdu, SetRequestWithList):
            return SetResponseWithList(apdu.invoke, self._set_list(apdu)).encode()
        if isinstance(apdu, ActionRequestWithList):
            return self._act_list(apdu)
        results = tuple(self._read(item) for item in apdu.items)
        whole = GetResponseWithList(apdu.invoke, results).encode()
        if self._fits(whole):
            return whole
        return self._in_blocks(GetRequestNext, apdu.invoke, encode_results(results))

    def _set_list(self, apdu: SetRequestWithList) -> tuple[int, ...]:
        pairs = zip(apdu.items, apdu.values, strict=True)
        return tuple(self._write(item, data) for item, data in pairs)

    def _act_list(self, apdu: ActionRequestWithList) -> bytes:
        outcomes = tuple(
            self._act(item, None if data == NO_PARAMETER else data)
            for item, data in zip(apdu.items, apdu.values, strict=True)
        )
        whole = ActionResponseWithList(apdu.invoke, outcomes).encode()
        blocks = self._conformance & Conformance.BLOCK_TRANSFER_WITH_ACTION
        if self._fits(whole) or not blocks:
            return whole
        return self._in_blocks(ActionRequestNextBlock, apdu.invoke, encode_outcomes(outcomes))

    # -- requests in blocks ------------------------------------------------------------------

    def _take_block(self, apdu: Block) -> bytes:
        match self._long.take(apdu):
            case SetRequestNormal() as whole:
                result = self._set(whole)
                return SetResponseLastBlock(whole.invoke, result, apdu.block.number).encode()
            case SetRequestWithList() as whole:
                results = self._set_list(whole)
                return SetResponseListLastBlock(whole.invoke, results, apdu.block.number).encode()
            case ActionRequestNormal() as whole:
                return self._respond(whole.invoke, self._act(_method(whole), whole.data))
            case ActionRequestWithList() as whole:
                return self._act_list(whole)
            case bytes(answer):
                return answer


def _method(apdu: ActionRequestNormal) -> MethodItem:
    return MethodItem(apdu.class_id, apdu.obis, apdu.method)
