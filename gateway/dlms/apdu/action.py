"""ACTION service: normal, with list and with parameter blocks (Green Book 9.3.8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from gateway.dlms.apdu.common import InvokeId, encode_descriptor, read_descriptor
from gateway.dlms.apdu.get import encode_data_or_error
from gateway.dlms.apdu.lists import (
    DataBlock,
    MethodItem,
    check_pairs,
    encode_sequence,
    read_sequence,
    read_value,
)
from gateway.dlms.apdu.results import ActionResult
from gateway.dlms.axdr.octets import OctetReader, unsigned
from gateway.model import Obis


@dataclass(frozen=True, slots=True)
class ActionRequestNormal:
    """Invoke one method; ``data`` is its parameter as A-XDR, None where it has none."""

    TAG: ClassVar[int] = 0xC3
    invoke: InvokeId
    class_id: int
    obis: Obis
    method: int
    data: bytes | None = field(default=None, repr=False)  # may be a key

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        descriptor = encode_descriptor(self.class_id, self.obis, self.method)
        data = b"\x00" if self.data is None else b"\x01" + self.data
        return b"\xc3\x01" + self.invoke.encode() + descriptor + data


class ActionOutcome(NamedTuple):
    """One outcome of a list of methods; its fields as in ActionResponseNormal."""

    result: int
    data: bytes | None = None
    error: int | None = None

    def encode(self) -> bytes:
        """Action-Response-With-Optional-Data."""
        head = unsigned(self.result, 1, "result")
        if self.data is None and self.error is None:
            return head + b"\x00"
        return head + b"\x01" + encode_data_or_error(self.data, self.error)

    @classmethod
    def read(cls, reader: OctetReader) -> ActionOutcome:
        """Read one that others may follow: the value is walked to find its end."""
        return _read_outcome(reader, read_value)


@dataclass(frozen=True, slots=True)
class ActionResponseNormal:
    """Outcome of a method: an ActionResult code, and what it returned if anything.

    Return parameters are A-XDR ``data`` or a DataAccessResult code ``error``; both None where
    the response carries none.
    """

    TAG: ClassVar[int] = 0xC7
    invoke: InvokeId
    result: int
    data: bytes | None = None
    error: int | None = None

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        outcome = ActionOutcome(self.result, self.data, self.error)
        return b"\xc7\x01" + self.invoke.encode() + outcome.encode()


@dataclass(frozen=True, slots=True)
class ActionRequestNextBlock:
    """Acknowledge block ``number`` of the return parameters and ask for the one behind it."""

    TAG: ClassVar[int] = 0xC3
    invoke: InvokeId
    number: int

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc3\x02" + self.invoke.encode() + unsigned(self.number, 4, "block number")


@dataclass(frozen=True, slots=True)
class ActionRequestWithList:
    """Invoke several methods; ``values`` are their parameters as A-XDR, null-data for none."""

    TAG: ClassVar[int] = 0xC3
    invoke: InvokeId
    items: tuple[MethodItem, ...]
    values: tuple[bytes, ...] = field(repr=False)  # may be keys

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        items = encode_sequence([item.encode() for item in self.items])
        return b"\xc3\x03" + self.invoke.encode() + items + encode_sequence(self.values)


@dataclass(frozen=True, slots=True)
class ActionRequestFirstBlock:
    """Begin a method whose parameter is long."""

    TAG: ClassVar[int] = 0xC3
    invoke: InvokeId
    item: MethodItem
    block: DataBlock

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc3\x04" + self.invoke.encode() + self.item.encode() + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionRequestListFirstBlock:
    """Begin several methods; the blocks carry the list of their parameters."""

    TAG: ClassVar[int] = 0xC3
    invoke: InvokeId
    items: tuple[MethodItem, ...]
    block: DataBlock

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        items = encode_sequence([item.encode() for item in self.items])
        return b"\xc3\x05" + self.invoke.encode() + items + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionRequestBlock:
    """Go on with long parameters."""

    TAG: ClassVar[int] = 0xC3
    invoke: InvokeId
    block: DataBlock

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc3\x06" + self.invoke.encode() + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionResponseBlock:
    """One block of long return parameters."""

    TAG: ClassVar[int] = 0xC7
    invoke: InvokeId
    block: DataBlock

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc7\x02" + self.invoke.encode() + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionResponseWithList:
    """Outcomes of several methods, in the order of the request."""

    TAG: ClassVar[int] = 0xC7
    invoke: InvokeId
    outcomes: tuple[ActionOutcome, ...]

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc7\x03" + self.invoke.encode() + encode_outcomes(self.outcomes)


@dataclass(frozen=True, slots=True)
class ActionResponseNextBlock:
    """Block ``number`` of the parameters has come; the next one may."""

    TAG: ClassVar[int] = 0xC7
    invoke: InvokeId
    number: int

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc7\x04" + self.invoke.encode() + unsigned(self.number, 4, "block number")


ActionRequest = (
    ActionRequestNormal
    | ActionRequestNextBlock
    | ActionRequestWithList
    | ActionRequestFirstBlock
    | ActionRequestListFirstBlock
    | ActionRequestBlock
)
ActionResponse = (
    ActionResponseNormal | ActionResponseBlock | ActionResponseWithList | ActionResponseNextBlock
)


def read_action_request(reader: OctetReader) -> ActionRequest:
    """Read what stands behind tag 0xC3."""
    choice = reader.choice("request type", (1, 2, 3, 4, 5, 6))
    invoke = InvokeId.read(reader)
    request: ActionRequest
    if choice == 1:
        class_id, obis, method = read_descriptor(reader)
        present = reader.flag("method-invocation-parameters")
        data = reader.value("method-invocation-parameters") if present else None
        request = ActionRequestNormal(invoke, class_id, obis, method, data)
    elif choice == 2:
        request = ActionRequestNextBlock(invoke, reader.unsigned(4, "block number"))
    elif choice == 4:
        request = ActionRequestFirstBlock(invoke, MethodItem.read(reader), DataBlock.read(reader))
    elif choice == 6:
        request = ActionRequestBlock(invoke, DataBlock.read(reader))
    else:
        items = read_sequence(reader, "methods", _ITEM_OCTETS, MethodItem.read)
        if choice == 3:
            values = read_sequence(reader, "parameters", 1, read_value)
            check_pairs(reader, len(items), len(values))
            request = ActionRequestWithList(invoke, items, values)
        else:
            request = ActionRequestListFirstBlock(invoke, items, DataBlock.read(reader))
    reader.end()
    return request


def read_action_response(reader: OctetReader) -> ActionResponse:
    """Read what stands behind tag 0xC7."""
    choice = reader.choice("response type", (1, 2, 3, 4))
    invoke = InvokeId.read(reader)
    response: ActionResponse
    if choice == 1:
        response = ActionResponseNormal(invoke, *_read_outcome(reader, _value_at_the_end))
    elif choice == 2:
        response = ActionResponseBlock(invoke, DataBlock.read(reader))
    elif choice == 3:
        response = ActionResponseWithList(invoke, read_outcomes(reader))
    else:
        response = ActionResponseNextBlock(invoke, reader.unsigned(4, "block number"))
    reader.end()
    return response


def encode_outcomes(outcomes: Sequence[ActionOutcome]) -> bytes:
    """SEQUENCE OF Action-Response-With-Optional-Data; also what blocks of a long list carry."""
    return encode_sequence([outcome.encode() for outcome in outcomes])


def read_outcomes(reader: OctetReader) -> tuple[ActionOutcome, ...]:
    """The outcomes that ``encode_outcomes`` wrote, and nothing behind them."""
    outcomes = read_sequence(reader, "outcomes", _OUTCOME_OCTETS, ActionOutcome.read)
    reader.end()
    return outcomes


def read_long_outcome(octets: bytes) -> ActionOutcome:
    """The outcome of one method that came in blocks; raise DecodeError.

    The standard cuts up Action-Response-With-Optional-Data; some servers (gurux-dlms) cut up the
    bare return parameters. Those never begin with 0, which success does, and what is short enough
    to be a refusal is read as the standard has it.
    """
    if len(octets) > _REFUSAL_OCTETS and octets[0] != ActionResult.SUCCESS:
        return ActionOutcome(ActionResult.SUCCESS, octets)
    reader = OctetReader(octets, "action-response in blocks")
    outcome = _read_outcome(reader, _value_at_the_end)
    reader.end()
    return outcome


def _read_outcome(reader: OctetReader, read: Callable[[OctetReader], bytes]) -> ActionOutcome:
    result = reader.u8("result")
    if not reader.flag("return-parameters"):
        return ActionOutcome(result)
    if reader.choice("return-parameters choice", (0, 1)) == 0:
        return ActionOutcome(result, read(reader))
    return ActionOutcome(result, error=reader.u8("data-access-result"))


def _value_at_the_end(reader: OctetReader) -> bytes:
    return reader.value("return-parameters")


_ITEM_OCTETS: Final = 9
"""What a method of a list takes."""
_REFUSAL_OCTETS: Final = 4
"""The most an outcome without a value takes."""
_OUTCOME_OCTETS: Final = 2
"""The least an outcome of a list takes."""
