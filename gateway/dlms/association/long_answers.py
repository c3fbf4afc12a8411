"""Server: attributes and return parameters that do not fit into one APDU, block by block."""

from __future__ import annotations

from gateway.dlms.apdu import (
    ActionRequestNextBlock,
    ActionResponseBlock,
    ActionResponseNormal,
    ActionResult,
    DataAccessResult,
    DataBlock,
    GetRequestNext,
    GetResponseWithDatablock,
    InvokeId,
)

Next = GetRequestNext | ActionRequestNextBlock
"""What acknowledges a block and asks for the one behind it."""


class LongAnswer:
    """The one long answer under way; ``begin`` makes it another."""

    def __init__(self) -> None:
        self._rest = b""
        self._size = 1
        self._number = 0
        """Of the block that was sent last; 0 while nothing is under way."""
        self._asks: type[Next] = GetRequestNext

    def abandon(self) -> None:
        """Forget what is left."""
        self._rest = b""
        self._number = 0

    def begin(self, asks: type[Next], invoke: InvokeId, octets: bytes, size: int) -> bytes:
        """The first block of ``size`` octets; ``asks`` is what will ask for the others."""
        self._rest = octets
        self._size = size
        self._number = 0
        self._asks = asks
        return self._next(invoke)

    def after(self, apdu: Next) -> bytes:
        """The block behind the one that was acknowledged, or the standard's refusal."""
        under_way = self._number > 0 and isinstance(apdu, self._asks)
        if under_way and apdu.number == self._number:
            return self._next(apdu.invoke)
        self.abandon()
        if isinstance(apdu, ActionRequestNextBlock):
            result = (
                ActionResult.LONG_ACTION_ABORTED
                if under_way
                else ActionResult.NO_LONG_ACTION_IN_PROGRESS
            )
            return ActionResponseNormal(apdu.invoke, result).encode()
        error = (
            DataAccessResult.DATA_BLOCK_NUMBER_INVALID
            if under_way
            else DataAccessResult.NO_LONG_GET_IN_PROGRESS
        )
        return GetResponseWithDatablock(apdu.invoke, True, apdu.number, error=error).encode()

    def _next(self, invoke: InvokeId) -> bytes:
        piece, self._rest = self._rest[: self._size], self._rest[self._size :]
        number = self._number + 1
        last = not self._rest
        self._number = 0 if last else number
        if self._asks is GetRequestNext:
            return GetResponseWithDatablock(invoke, last, number, piece).encode()
        return ActionResponseBlock(invoke, DataBlock(last, number, piece)).encode()
