"""The server's side of an application association: what a meter does. Sans-io.

Serves the emulator and the tests; a fault is answered as the Green Book says, never raised at a
client's whim: only a broken link ends in an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dlms.apdu import (
    Aarq,
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResult,
    Apdu,
    CipheredApdu,
    ConfirmedServiceError,
    Conformance,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GeneralBlockTransfer,
    Rlre,
    Rlrq,
    ServiceError,
    StateError,
    decode_apdu,
)
from gateway.dlms.association.block_transfer import BlockTerms, ServerTransfer, unconfirmed
from gateway.dlms.association.handshake import Agreed, ServerHandshake
from gateway.dlms.association.port import MeterObjects
from gateway.dlms.association.serving import Serving
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
from gateway.dlms.security import GlobalKeys, Protection, Replayed
from gateway.errors import (
    DecodeError,
    GatewayError,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    SecurityError,
)

_NOT_ASSOCIATED: Final = ExceptionResponse(
    StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE
)
_NOT_SUPPORTED: Final = ExceptionResponse(
    StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED
)
_OUT_OF_PLACE: Final = ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)


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
        self._state = AssociationState(Role.SERVER)
        self._protection = Protection(settings.protection) if settings.protection else None
        self._handshake = ServerHandshake(settings, self._protection)
        self._serving = Serving(objects, settings.name, settings.limits)
        self._max_pdu_octets = 0xFFFF
        self._block_terms: BlockTerms | None = None
        """None while general block transfer was not agreed on."""
        self._transfer: ServerTransfer | None = None
        self._block_limits = settings.limits.of_blocks()
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

    def rekey(self, keys: GlobalKeys) -> None:
        """Answer under other keys from now on, as some meters do once a key was transferred."""
        if self._protection is not None:
            self._protection.rekey(keys)

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
                        self._begin(Agreed(self._settings.offered, 0xFFFF))
                case _:
                    return NEED_DATA

    def notify(self, apdu: DataNotification | EventNotification) -> None:
        """Send what nobody asked for; raise LocalProtocolError unless associated."""
        if self._state.now is not State.READY:
            raise LocalProtocolError(f"nothing can be told while {self._state.now.name}")
        octets = self._protected(apdu.encode())
        if self._block_terms is None or len(octets) <= self._max_pdu_octets:
            self._link.send_apdu(octets)
            return
        for block in unconfirmed(octets, self._block_terms):
            self._link.send_apdu(block)

    # -- one APDU ----------------------------------------------------------------------------

    def _serve(self, octets: bytes) -> Served:
        try:
            apdu = decode_apdu(octets, limits=self._settings.limits)
            if isinstance(apdu, GeneralBlockTransfer):
                return self._take_block(apdu)
            self._transfer = None
            if isinstance(apdu, Aarq):
                return self._associate(apdu)
            if isinstance(apdu, Rlrq):
                return self._release()
            return self._request(self._believed(apdu))
        except SecurityError as error:
            return self._refuse(error)
        except (DecodeError, LimitExceeded):
            return self._except(_NOT_SUPPORTED)

    def _believed(self, apdu: Apdu) -> Apdu:
        """The plain request; raise SecurityError."""
        if not isinstance(apdu, CipheredApdu):
            if self._settings.ciphered:
                raise SecurityError(f"plain {type(apdu).__name__} in a ciphered association")
            return apdu
        if self._protection is None or not self._settings.ciphered:
            raise SecurityError("a ciphered APDU in an association without keys")
        plain = self._protection.unprotect(apdu)
        self._protection.answer_like(apdu)
        return decode_apdu(plain, limits=self._block_limits)

    def _take_block(self, block: GeneralBlockTransfer) -> Served:
        terms = self._block_terms
        if terms is None or not self._state.allows(Step.REQUESTED):
            return self._except(_NOT_ASSOCIATED if terms else _NOT_SUPPORTED)
        if self._transfer is None or self._transfer.is_over_with(block):
            self._transfer = ServerTransfer(terms)
        try:
            request = self._transfer.take(block)
            self._send_blocks(self._transfer)
            if request is None:
                return Served(f"block {block.number}")
            return self._request(self._believed(decode_apdu(request, limits=self._block_limits)))
        except (DecodeError, LimitExceeded):
            raise
        except RemoteProtocolError:
            return self._except(_OUT_OF_PLACE)

    def _send_blocks(self, transfer: ServerTransfer) -> None:
        for octets in transfer.outgoing:
            self._link.send_apdu(octets)

    def _except(self, response: ExceptionResponse) -> Served:
        self._transfer = None
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

    def _protected(self, apdu: bytes) -> bytes:
        if self._settings.ciphered and self._protection is not None:
            return self._protection.protect(apdu)
        return apdu

    def _send(self, apdu: bytes) -> None:
        """Answer: in blocks where the request came so, or where it is too long otherwise."""
        octets, terms = self._protected(apdu), self._block_terms
        if self._transfer is None and terms and len(octets) > self._max_pdu_octets:
            self._transfer = ServerTransfer(terms)
        if self._transfer is None or terms is None:
            self._link.send_apdu(octets)
            return
        if not terms.carry(len(octets)):
            raise LimitExceeded(f"an answer of {len(octets)} octets has too many blocks")
        self._transfer.answer(octets)
        self._send_blocks(self._transfer)

    def _begin(self, agreed: Agreed) -> None:
        """An association begins with what both sides settled on."""
        settings = self._settings
        self._max_pdu_octets = min(agreed.max_pdu_octets, settings.max_pdu_octets)
        self._transfer = self._block_terms = None
        if agreed.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            self._block_terms = BlockTerms.of(
                window=settings.general_block_window or 1,
                streams=self._link.streams,
                pdu_octets=self._max_pdu_octets,
                limits=settings.limits,
            )
        self._serving.begin(agreed.conformance, 0 if self._block_terms else self._max_pdu_octets)

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
        self._begin(agreed)
        self._state.move(Step.CHALLENGED if self._handshake.challenged else Step.ACCEPTED)
        self._use_dedicated()
        return Served("AARQ")

    def _use_dedicated(self) -> None:
        if self._protection is not None and self._state.now is State.READY:
            self._protection.use_dedicated()

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
        answer = self._serving.serve(apdu)
        if answer is None:
            return self._except(_NOT_SUPPORTED)
        self._send(answer)
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
        self._send(ActionResponseNormal(apdu.invoke, ActionResult.SUCCESS, proof).encode())
        self._state.move(Step.PROVEN)
        self._use_dedicated()
        return Served("HLS")
