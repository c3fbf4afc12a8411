"""The client's request under way: what goes out for it, what may come back, and what that means."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.dlms.apdu import (
    ActionRequestNextBlock,
    ActionResponseBlock,
    ActionResponseNextBlock,
    ActionResponseNormal,
    ActionResponseWithList,
    DataAccessResult,
    GetRequestNext,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    InvokeId,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseListLastBlock,
    SetResponseNormal,
    SetResponseWithList,
    read_long_outcome,
    read_outcomes,
    read_results,
)
from gateway.dlms.association.long_requests import LongRequest
from gateway.dlms.association.requests import (
    LISTS,
    AssociationOpened,
    Get,
    GetList,
    Refused,
    Request,
)
from gateway.dlms.association.services import (
    SERVICES,
    Response,
    Result,
    action_result,
    encode_request,
    get_result,
    set_result,
)
from gateway.dlms.axdr.octets import OctetReader
from gateway.dlms.limits import Limits
from gateway.errors import LimitExceeded, RemoteProtocolError


@dataclass(frozen=True, slots=True)
class Done:
    """The whole answer: A-XDR ``data``, or what each of a list's items was answered."""

    data: bytes = b""
    items: tuple[Result, ...] = ()


class Exchange:
    """One request until its answer is whole.

    ``first`` is what asks; ``take`` gives the APDU to be sent next, or how it ended. Raises
    LocalProtocolError for a request that cannot be sent.
    """

    def __init__(
        self,
        request: Request,
        invoke: InvokeId,
        limits: Limits,
        opened: AssociationOpened,
    ) -> None:
        self._request = request
        self._invoke = invoke
        self._limit_octets = limits.transfer_octets
        self._long = LongRequest.of(request, invoke, opened)
        self._reads = isinstance(request, (Get, GetList))
        self._blocks: list[bytes] = []
        self._octets = 0

    @property
    def blocks_taken(self) -> int:
        """How many blocks of the answer are here."""
        return len(self._blocks)

    def first(self) -> bytes:
        """The plain APDU that asks, or its first block."""
        return self._long.next() if self._long else encode_request(self._request, self._invoke)

    def take(self, apdu: Response) -> bytes | Done | Refused:
        """Raises RemoteProtocolError for what cannot answer this, LimitExceeded."""
        self._check(apdu)
        match apdu:
            case GetResponseNormal():
                return self._one(get_result(apdu.error if apdu.data is None else apdu.data))
            case GetResponseWithDatablock(data=bytes(data)):
                return self._block(apdu.last, apdu.number, data)
            case GetResponseWithDatablock():
                return Refused("GET", DataAccessResult.name_of(apdu.error or 0))
            case SetResponseBlock(number=number) | ActionResponseNextBlock(number=number):
                return self._go_on(number)
            case ActionResponseBlock(block=block):
                return self._block(block.last, block.number, block.data)
            case SetResponseNormal() | SetResponseLastBlock():
                return self._one(set_result(apdu.result))
            case ActionResponseNormal():
                return self._one(action_result(apdu))
            case GetResponseWithList():
                return self._listed([get_result(one) for one in apdu.results])
            case SetResponseWithList() | SetResponseListLastBlock():
                return self._listed([set_result(one) for one in apdu.results])
            case ActionResponseWithList():
                return self._listed([action_result(one) for one in apdu.outcomes])

    def _check(self, apdu: Response) -> None:
        if apdu.invoke.number != self._invoke.number:
            raise RemoteProtocolError(
                f"answer to invoke-id {apdu.invoke.number}, asked was {self._invoke.number}"
            )
        if not isinstance(self._request, SERVICES[type(apdu)]):
            raise RemoteProtocolError(
                f"{type(apdu).__name__} answers a {type(self._request).__name__} request"
            )

    def _one(self, result: Result) -> Done | Refused:
        if isinstance(result, Refused):
            return result
        self._check_all_sent()
        if isinstance(self._request, LISTS):
            raise RemoteProtocolError(f"one success answers a {type(self._request).__name__}")
        return Done(result)

    def _listed(self, results: list[Result]) -> Done:
        self._check_all_sent()
        items = self._request.items if isinstance(self._request, LISTS) else ()
        if len(results) != len(items):
            raise RemoteProtocolError(f"{len(results)} results answer a list of {len(items)}")
        return Done(items=tuple(results))

    def _check_all_sent(self) -> None:
        if self._long and not self._long.sent:
            raise RemoteProtocolError("success came before the last block was sent")

    def _go_on(self, number: int) -> bytes:
        if self._long is None:
            raise RemoteProtocolError(f"block {number} was acknowledged, none was sent")
        return self._long.after(number)

    def _block(self, last: bool, number: int, data: bytes) -> bytes | Done | Refused:
        self._check_all_sent()
        if number != len(self._blocks) + 1:
            raise RemoteProtocolError(
                f"block {number} came where block {len(self._blocks) + 1} belongs"
            )
        self._blocks.append(data)
        self._octets += len(data)
        if self._octets > self._limit_octets:
            raise LimitExceeded(f"block transfer beyond {self._limit_octets} octets")
        if last:
            return self._whole(b"".join(self._blocks))
        if not data:
            raise RemoteProtocolError("an empty block that is not the last")
        follows = GetRequestNext if self._reads else ActionRequestNextBlock
        return follows(self._invoke, number).encode()

    def _whole(self, octets: bytes) -> Done | Refused:
        """What the blocks carried: a value, one outcome, or the list of either."""
        reader = OctetReader(octets, "answer in blocks")
        if isinstance(self._request, GetList):
            return self._listed([get_result(one) for one in read_results(reader)])
        if self._reads:
            return Done(octets)
        if isinstance(self._request, LISTS):
            return self._listed([action_result(one) for one in read_outcomes(reader)])
        return self._one(action_result(read_long_outcome(octets)))
