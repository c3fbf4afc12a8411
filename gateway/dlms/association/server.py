"""The server's side of an application association: what a meter does. Sans-io.

Serves the emulator and the tests; a fault is answered as the Green Book says, never raised at a
client's whim: only a broken link ends in an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dlms.apdu import (
    Aarq,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResult,
    Apdu,
    CipheredApdu,
    ConfirmedServiceError,
    Conformance,
    DataAccessResult,
    ExceptionResponse,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    InvokeId,
    Rlre,
    Rlrq,
    ServiceError,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestNormal,
    SetResponseLastBlock,
    SetResponseNormal,
    StateError,
    decode_apdu,
    encode_results,
)
from gateway.dlms.association.handshake import ServerHandshake
from gateway.dlms.association.long_requests import PDU_OVERHEAD_OCTETS, Block, LongReceiver
from gateway.dlms.association.port import AccessRefused, MeterObjects
from gateway.dlms.association.settings import ServerSettings
from gateway.dlms.association.states import AssociationState, State, Step
from gateway.dlms.classes import CURRENT_ASSOCIATION, AssociationMethod, ClassId
from gateway.dlms.link import (
    NEED_DATA,
    ApduReceived,
    Link,
    LinkClosed,
    LinkOpened,
    NeedData,
    Role,
)
from gateway.dlms.security import Protection, Replayed
from gateway.errors import DecodeError, GatewayError, LimitExceeded, SecurityError

_NOT_ASSOCIATED: Final = ExceptionResponse(
    StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE
)


@dataclass(frozen=True, slots=True)
class Served:
    """One APDU was answered (or, without an answer of its own, taken)."""

    service: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The client disconnected."""

    reason: str


class ServerConnection:
    """Serves one client SAP of one meter over one link.

    Feed it octets and call ``next_event`` until NEED_DATA; answers are in ``data_to_send``.
    Access rights are the object model's: it is asked with the association's name.
    """

    def __init__(self, link: Link, settings: ServerSettings, objects: MeterObjects) -> None:
        self._link = link
        self._settings = settings
        self._objects = objects
        self._state = AssociationState(Role.SERVER)
        self._protection = Protection(settings.protection) if settings.protection else None
        self._handshake = ServerHandshake(settings, self._protection)
        self._max_pdu_octets = 0xFFFF
        self._rest = b""
        self._next_block = 0
        self._long = LongReceiver(settings.limits.transfer_octets)
        self.counters_refused = 0
        """APDUs of the client whose invocation counter did not rise; nothing of them was used."""

    @property
    def state(self) -> State:
        """Where the association stands."""
        return self._state.now

    @property
    def last_received_counter(self) -> int:
        """Highest invocation counter of the client that was believed; -1 if none."""
        return self._protection.last_received if self._protection else -1

    def receive_data(self, data: bytes) -> None:
        """Take octets from the wire; ``b""`` is the end of the stream."""
        self._link.receive_data(data)

    def data_to_send(self) -> bytes:
        """Drain the octets queued for the wire."""
        return self._link.data_to_send()

    def next_event(self) -> Served | Gone | NeedData:
        """Serve the next APDU. Raises RemoteProtocolError for a broken link only."""
        while True:
            happened = self._link.next_event()
            match happened:
                case ApduReceived(octets):
                    return self._serve(octets)
                case LinkClosed(reason):
                    self._state.move(Step.LINK_CLOSED)
                    return Gone(reason)
                case LinkOpened():
                    self._state.move(Step.LINK_OPENED)
                    if self._settings.pre_established:
                        self._state.move(Step.ACCEPTED)
                case _:
                    return NEED_DATA

    # -- one APDU ----------------------------------------------------------------------------

    def _serve(self, octets: bytes) -> Served:
        try:
            apdu = decode_apdu(octets, limits=self._settings.limits)
            if isinstance(apdu, Aarq):
                return self._associate(apdu)
            if isinstance(apdu, Rlrq):
                return self._release()
            if isinstance(apdu, CipheredApdu):
                if self._protection is None or not self._settings.ciphered:
                    raise SecurityError("a ciphered APDU in an association without keys")
                self._protection.answer_like(apdu)
                plain = self._protection.unprotect(apdu)
                apdu = decode_apdu(plain, limits=self._settings.limits)
            elif self._settings.ciphered:
                raise SecurityError(f"plain {type(apdu).__name__} in a ciphered association")
            return self._request(apdu)
        except SecurityError as error:
            return self._refuse(error)
        except (DecodeError, LimitExceeded):
            return self._except(
                ExceptionResponse(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)
            )

    def _except(self, response: ExceptionResponse) -> Served:
        self._link.send_apdu(response.encode())
        return Served(f"exception-response: {response.reason}")

    def _refuse(self, error: SecurityError) -> Served:
        """As meters say it: an old counter and a bad tag have names of their own."""
        replayed = isinstance(error, Replayed)
        self.counters_refused += replayed
        service_error = (
            ServiceError.INVOCATION_COUNTER_ERROR if replayed else ServiceError.DECIPHERING_ERROR
        )
        return self._except(ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, service_error))

    def _send(self, apdu: bytes) -> None:
        if self._settings.ciphered and self._protection is not None:
            apdu = self._protection.protect(apdu)
        self._link.send_apdu(apdu)

    def _associate(self, aarq: Aarq) -> Served:
        if not self._state.allows(Step.ACCEPTED):
            # A client that lost its session starts over on the same link.
            self._state.move(Step.RELEASED)
        try:
            aare = self._handshake.take_aarq(aarq)
        except SecurityError as error:
            return self._refuse(error)
        except GatewayError:
            # Green Book: an AARQ that cannot be understood is answered, not ignored.
            self._link.send_apdu(ConfirmedServiceError(1, 6, 0).encode())
            return Served("AARQ not understood")
        self._link.send_apdu(aare)
        agreed = self._handshake.agreed
        if agreed is None:
            return Served("AARQ rejected")
        self._long.abandon()
        self._max_pdu_octets = min(agreed.max_pdu_octets, self._settings.max_pdu_octets)
        self._state.move(Step.CHALLENGED if self._handshake.challenged else Step.ACCEPTED)
        return Served("AARQ")

    def _release(self) -> Served:
        if self._state.allows(Step.RELEASED):
            self._state.move(Step.RELEASED)
        self._link.send_apdu(Rlre().encode())
        return Served("RLRQ")

    def _request(self, apdu: Apdu) -> Served:
        if self._state.now is State.AUTHENTICATING and isinstance(apdu, ActionRequestNormal):
            return self._prove(apdu)
        if not self._state.allows(Step.REQUESTED):
            return self._except(_NOT_ASSOCIATED)
        self._state.move(Step.REQUESTED)
        if not isinstance(apdu, Block):
            self._long.abandon()
        match apdu:
            case GetRequestNormal():
                self._send(self._get(apdu))
            case GetRequestNext():
                self._send(self._next(apdu))
            case GetRequestWithList() if self._agreed(Conformance.MULTIPLE_REFERENCES):
                self._send(self._get_list(apdu))
            case SetRequestNormal():
                self._send(SetResponseNormal(apdu.invoke, self._set(apdu)).encode())
            case ActionRequestNormal():
                self._send(self._action(apdu).encode())
            case SetRequestFirstBlock() | SetRequestBlock() if self._agreed(
                Conformance.BLOCK_TRANSFER_WITH_SET
            ):
                self._send(self._take_block(apdu))
            case ActionRequestFirstBlock() | ActionRequestBlock() if self._agreed(
                Conformance.BLOCK_TRANSFER_WITH_ACTION
            ):
                self._send(self._take_block(apdu))
            case _:
                return self._except(
                    ExceptionResponse(
                        StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED
                    )
                )
        return Served(type(apdu).__name__)

    def _prove(self, apdu: ActionRequestNormal) -> Served:
        is_reply = (
            apdu.class_id == ClassId.ASSOCIATION_LN
            and apdu.obis == CURRENT_ASSOCIATION
            and apdu.method == AssociationMethod.REPLY_TO_HLS
        )
        if not is_reply:
            return self._except(_NOT_ASSOCIATED)
        try:
            proof = self._handshake.prove(apdu.data)
        except SecurityError:
            self._state.move(Step.RELEASED)
            refusal = ActionResponseNormal(apdu.invoke, ActionResult.OTHER_REASON)
            self._send(refusal.encode())
            return Served("HLS failed")
        self._state.move(Step.PROVEN)
        self._send(ActionResponseNormal(apdu.invoke, ActionResult.SUCCESS, proof).encode())
        return Served("HLS")

    # -- services ----------------------------------------------------------------------------

    def _get(self, apdu: GetRequestNormal) -> bytes:
        self._rest = b""
        self._next_block = 0
        try:
            data = self._objects.get(
                self._settings.name, apdu.class_id, apdu.obis, apdu.attribute, apdu.access
            )
        except AccessRefused as refusal:
            return GetResponseNormal(apdu.invoke, error=refusal.result).encode()
        if len(data) + PDU_OVERHEAD_OCTETS <= self._max_pdu_octets:
            return GetResponseNormal(apdu.invoke, data).encode()
        self._rest = data
        return self._next_of(apdu.invoke)

    def _get_list(self, apdu: GetRequestWithList) -> bytes:
        self._rest = b""
        self._next_block = 0
        results: list[bytes | int] = []
        for item in apdu.items:
            try:
                results.append(self._objects.get(self._settings.name, *item))
            except AccessRefused as refusal:
                results.append(refusal.result)
        whole = GetResponseWithList(apdu.invoke, tuple(results)).encode()
        if len(whole) + PDU_OVERHEAD_OCTETS <= self._max_pdu_octets:
            return whole
        self._rest = encode_results(results)
        return self._next_of(apdu.invoke)

    def _next(self, apdu: GetRequestNext) -> bytes:
        if not self._next_block:
            error = DataAccessResult.NO_LONG_GET_IN_PROGRESS
        elif apdu.number != self._next_block:
            error = DataAccessResult.DATA_BLOCK_NUMBER_INVALID
        else:
            return self._next_of(apdu.invoke)
        self._rest = b""
        self._next_block = 0
        return GetResponseWithDatablock(apdu.invoke, True, apdu.number, error=error).encode()

    def _next_of(self, invoke: InvokeId) -> bytes:
        size = max(1, self._max_pdu_octets - PDU_OVERHEAD_OCTETS)
        piece, self._rest = self._rest[:size], self._rest[size:]
        number = self._next_block + 1
        last = not self._rest
        self._next_block = 0 if last else number
        return GetResponseWithDatablock(invoke, last, number, piece).encode()

    def _agreed(self, bit: Conformance) -> bool:
        agreed = self._handshake.agreed
        return bool((agreed or self._settings).conformance & bit)

    def _take_block(self, apdu: Block) -> bytes:
        match self._long.take(apdu):
            case SetRequestNormal() as whole:
                result = self._set(whole)
                return SetResponseLastBlock(whole.invoke, result, apdu.block.number).encode()
            case ActionRequestNormal() as whole:
                return self._action(whole).encode()
            case bytes(answer):
                return answer

    def _set(self, apdu: SetRequestNormal) -> int:
        try:
            self._objects.set(
                self._settings.name, apdu.class_id, apdu.obis, apdu.attribute, apdu.data
            )
        except AccessRefused as refusal:
            return refusal.result
        return DataAccessResult.SUCCESS

    def _action(self, apdu: ActionRequestNormal) -> ActionResponseNormal:
        try:
            data = self._objects.action(
                self._settings.name, apdu.class_id, apdu.obis, apdu.method, apdu.data
            )
        except AccessRefused as refusal:
            return ActionResponseNormal(apdu.invoke, refusal.result)
        return ActionResponseNormal(apdu.invoke, ActionResult.SUCCESS, data)
