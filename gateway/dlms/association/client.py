"""The client's side of an application association, over any link. Sans-io."""

from __future__ import annotations

from typing import Final

from gateway.dlms.apdu import (
    Aare,
    Apdu,
    CipheredApdu,
    ConfirmedServiceError,
    Conformance,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GeneralBlockTransfer,
    InvokeId,
    Rlre,
    Rlrq,
    decode_apdu,
)
from gateway.dlms.apdu.block_transfer import WINDOW_LIMIT
from gateway.dlms.association.block_transfer import BlockReceiver, BlockTerms, ClientTransfer
from gateway.dlms.association.exchange import Done, Exchange
from gateway.dlms.association.handshake import ClientHandshake
from gateway.dlms.association.long_requests import PDU_OVERHEAD_OCTETS
from gateway.dlms.association.requests import (
    LISTS,
    Action,
    Answer,
    AssociationClosed,
    AssociationOpened,
    Event,
    Refused,
    Request,
)
from gateway.dlms.association.services import Response, read_unsolicited
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.association.states import AssociationState, State, Step
from gateway.dlms.classes import CURRENT_ASSOCIATION, AssociationMethod, ClassId
from gateway.dlms.limits import Limits
from gateway.dlms.link import (
    NEED_DATA,
    ApduReceived,
    Link,
    LinkClosed,
    LinkEvent,
    LinkOpened,
    NeedData,
    Role,
)
from gateway.dlms.security import Protection, SecurityPolicy
from gateway.errors import (
    LinkLost,
    LocalProtocolError,
    PeerRefused,
    RemoteProtocolError,
    SecurityError,
)

_INVOKE_IDS: Final = tuple(InvokeId(number) for number in range(16))


class ClientConnection:
    """Opens one association, asks, and closes it.

    ``open``, ``send`` and ``close`` queue octets for ``data_to_send``; ``next_event`` tells what
    came of them. One request is under way at a time; block transfer happens inside. After a
    RemoteProtocolError or SecurityError nothing more is believed and only ``close`` is of use.
    """

    def __init__(self, link: Link, settings: ClientSettings) -> None:
        self._link = link
        self._settings = settings
        self._state = AssociationState(Role.CLIENT)
        self._protection = Protection(settings.protection) if settings.protection else None
        self._ciphered = settings.ciphered
        self._handshake = ClientHandshake(settings, self._protection)
        self._opened = AssociationOpened(settings.offered, settings.max_pdu_octets, None)
        self._invoke = 0
        self._exchange: Exchange | None = None
        self._block_terms: BlockTerms | None = None
        """None while general block transfer was not agreed on."""
        self._transfer: ClientTransfer | None = None
        self._unasked: BlockReceiver | None = None
        self._block_limits = settings.limits.of_blocks()
        self._counter: int | None = None

    @property
    def state(self) -> State:
        """Where the association stands."""
        return self._state.now

    @property
    def server_system_title(self) -> bytes | None:
        """The meter's system title, once known."""
        return self._protection.peer_title if self._protection else None

    @property
    def last_received_counter(self) -> int:
        """Highest invocation counter of the server that was believed; -1 if none."""
        return self._protection.last_received if self._protection else -1

    @property
    def takes_lists(self) -> bool:
        """Whether the server agreed to several attributes or methods in one request."""
        return bool(self._opened.conformance & Conformance.MULTIPLE_REFERENCES)

    def open(self) -> None:
        """Start: connect the link, then associate. Raises LocalProtocolError when not idle."""
        self._state.move(Step.CONNECT)
        self._link.connect()

    def send(self, request: Request) -> None:
        """Ask.

        Raises LocalProtocolError while an answer is awaited, for a list that was not agreed on,
        and for more than can be sent; the association stays as it is.
        """
        if isinstance(request, LISTS) and not self.takes_lists:
            raise LocalProtocolError("the server did not agree to multiple references")
        invoke = self._invoke % 15 + 1
        exchange = self._exchange_of(request, invoke)
        first = exchange.first()
        if self._block_terms and not self._block_terms.carry(len(first) + PDU_OVERHEAD_OCTETS):
            raise LocalProtocolError(f"a request of {len(first)} octets has too many blocks")
        self._state.move(Step.REQUESTED)
        self._begin(exchange, first, invoke)

    def close(self) -> None:
        """Say goodbye as far as the state allows; legal at any time, also after an error."""
        if not self._state.allows(Step.RELEASE):
            return
        self._state.move(Step.RELEASE)
        if self._state.now is State.RELEASING:
            if self._settings.release and not self._link.releases:
                self._link.send_apdu(Rlrq().encode())
                return
            self._state.move(Step.RELEASED)
        if self._state.now is State.UNLINKING:
            self._unlink()

    def receive_data(self, data: bytes) -> None:
        """Take octets from the wire in any chunking; ``b""`` is the end of the stream."""
        self._link.receive_data(data)

    def data_to_send(self) -> bytes:
        """Drain the octets queued for the wire."""
        return self._link.data_to_send()

    def handle_timeout(self) -> bool:
        """The peer was silent for the answer time: whether it is worth waiting once more.

        Repeats the last frame where the link can, else asks again for general blocks that are
        missing. While leaving, silence is taken for a yes.
        """
        if self._state.now is State.RELEASING:
            self._state.move(Step.GAVE_UP)
            self._unlink()
            return True
        if self._state.now is State.UNLINKING:
            self._state.move(Step.GAVE_UP)
            return True
        if self._link.retransmit():
            return True
        if self._transfer is None or not self._transfer.repeat():
            return False
        self._send_blocks(self._transfer)
        return True

    def next_event(self) -> Event | NeedData:
        """What happened next, or NEED_DATA.

        Raises PeerRefused (association rejected), LinkLost, RemoteProtocolError, SecurityError.
        """
        try:
            while self._state.now is not State.CLOSED:
                happened = self._link.next_event()
                if happened is NEED_DATA:
                    return NEED_DATA
                event = self._take(happened)
                if event is not None:
                    return event
        except (RemoteProtocolError, SecurityError):
            self._state.move(Step.FAILED)
            raise
        return AssociationClosed("closed")

    # -- the link ----------------------------------------------------------------------------

    def _take(self, happened: LinkEvent) -> Event | None:
        match happened:
            case ApduReceived(octets):
                return self._take_octets(octets)
            case LinkOpened():
                return self._associate()
            case LinkClosed(reason):
                expected = self._state.now is State.UNLINKING
                self._state.move(Step.LINK_CLOSED)
                if not expected:
                    raise LinkLost(f"the link closed: {reason}")
                return AssociationClosed(reason)

    def _unlink(self) -> None:
        try:
            self._link.disconnect()
        except LocalProtocolError:
            # The link is in its error state or was never up: there is nobody to tell.
            self._state.move(Step.GAVE_UP)

    # -- protection and general blocks -------------------------------------------------------

    def _send_service(self, apdu: bytes) -> None:
        if self._ciphered and self._protection is not None:
            apdu = self._protection.protect(apdu)
        terms, most = self._block_terms, self._opened.max_pdu_octets
        if terms is None or not most or len(apdu) <= most:
            self._link.send_apdu(apdu)
            return
        self._transfer = ClientTransfer(terms)
        self._transfer.begin(apdu)
        self._send_blocks(self._transfer)

    def _send_blocks(self, transfer: ClientTransfer) -> None:
        for block in transfer.outgoing:
            self._link.send_apdu(block)

    def _take_octets(self, octets: bytes) -> Event | None:
        apdu = self._decode(octets, self._settings.limits)
        if isinstance(apdu, GeneralBlockTransfer):
            whole = self._take_block(apdu)
            if whole is None:
                return None
            apdu = self._decode(whole, self._block_limits)
        self._counter = None
        if isinstance(apdu, CipheredApdu):
            if self._protection is None or self._protection.policy is SecurityPolicy.NONE:
                raise SecurityError("a ciphered APDU in an association without ciphering")
            self._counter = apdu.invocation_counter
            apdu = self._decode(self._protection.unprotect(apdu), self._block_limits)
        elif self._ciphered and not isinstance(apdu, (Aare, Rlre, ExceptionResponse)):
            # ExceptionResponse has no protected form: it ends a request and is never data.
            raise SecurityError(f"plain {type(apdu).__name__} in a ciphered association")
        return self._dispatch(apdu)

    def _decode(self, octets: bytes, limits: Limits) -> Apdu:
        tagged = self._settings.tagged_date_time
        return decode_apdu(octets, limits=limits, tagged_date_time=tagged)

    def _take_block(self, block: GeneralBlockTransfer) -> bytes | None:
        """The whole APDU that a block completes. Blocks carry any APDU but themselves."""
        if self._block_terms is None:
            raise RemoteProtocolError("a general block, and none were agreed on")
        if self._state.now is State.READY:
            return self._take_unasked(block)
        if self._state.now is not State.BUSY:
            raise RemoteProtocolError(f"a general block came while {self._state.now.name}")
        self._state.move(Step.BLOCK)
        if self._transfer is None:
            self._transfer = ClientTransfer(self._block_terms)
        whole = self._transfer.take(block)
        self._send_blocks(self._transfer)
        return whole

    def _take_unasked(self, block: GeneralBlockTransfer) -> bytes | None:
        """Blocks that nobody acknowledges: they follow one another, or all are lost.

        Nothing but their order says that two of them belong together.
        """
        if self._transfer is not None and self._transfer.holds(block):
            return None  # The last answer's, once more.
        if block.number == 1:
            self._unasked = BlockReceiver(WINDOW_LIMIT, self._settings.limits)
        receiver = self._unasked
        if receiver is None or receiver.holds(block):
            return None
        if block.number != receiver.in_turn + 1:
            self._unasked = None
            return None
        receiver.wanted()
        receiver.take(block)
        if not receiver.complete:
            return None
        self._unasked = None
        return receiver.whole()

    # -- APDUs -------------------------------------------------------------------------------

    def _dispatch(self, apdu: Apdu) -> Event | None:
        if isinstance(apdu, Response):
            return self._answer(apdu)
        match apdu:
            case DataNotification() | EventNotification():
                self._state.move(Step.NOTIFIED)
                return read_unsolicited(apdu, self.server_system_title, self._counter)
            case ExceptionResponse():
                return self._exception(apdu.reason)
            case ConfirmedServiceError():
                return self._exception(apdu.reason)
            case Aare() if self._state.now is State.ASSOCIATING:
                return self._accept(apdu)
            case Rlre() if self._state.now is State.RELEASING:
                self._state.move(Step.RELEASED)
                self._unlink()
                return None
            case _:
                raise RemoteProtocolError(
                    f"{type(apdu).__name__} came while {self._state.now.name}"
                )

    def _exception(self, reason: str) -> Event | None:
        if self._state.now is State.RELEASING:
            # Some meters answer a release so; they have left all the same.
            self._state.move(Step.RELEASED)
            self._unlink()
            return None
        if self._state.now is State.BUSY:
            self._state.move(Step.ANSWERED)
            return Refused("request", reason)
        raise PeerRefused("association", reason)

    def _associate(self) -> Event | None:
        if self._settings.pre_established:
            return self._open_for_requests(Step.PRE_ESTABLISHED)
        self._state.move(Step.ASKED)
        self._link.send_apdu(self._handshake.aarq())
        return None

    def _accept(self, aare: Aare) -> Event | None:
        agreed = self._handshake.take_aare(aare)
        self._opened = AssociationOpened(
            agreed.conformance, agreed.max_pdu_octets, self.server_system_title
        )
        proof = self._handshake.answer()
        if proof is None:
            return self._open_for_requests(Step.ACCEPTED)
        self._state.move(Step.CHALLENGED)
        method = AssociationMethod.REPLY_TO_HLS
        asked = Action(ClassId.ASSOCIATION_LN, CURRENT_ASSOCIATION, method, proof)
        exchange = self._exchange_of(asked, 1)
        self._begin(exchange, exchange.first(), 1)
        return None

    def _prove(self, answer: bytes) -> Event:
        self._handshake.check(answer or None)
        return self._open_for_requests(Step.PROVEN)

    def _open_for_requests(self, step: Step) -> AssociationOpened:
        self._state.move(step)
        if self._protection is not None:
            self._protection.use_dedicated()
        if self._opened.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            self._block_terms = BlockTerms.of(
                window=self._settings.general_block_window or 1,
                streams=self._link.streams,
                pdu_octets=self._opened.max_pdu_octets,
                limits=self._settings.limits,
            )
        return self._opened

    # -- a request ---------------------------------------------------------------------------

    def _exchange_of(self, request: Request, invoke: int) -> Exchange:
        return Exchange(request, _INVOKE_IDS[invoke], self._settings.limits, self._opened)

    def _begin(self, exchange: Exchange, first: bytes, invoke: int) -> None:
        self._exchange, self._invoke = exchange, invoke
        self._transfer = self._unasked = None
        self._send_service(first)

    def _answer(self, apdu: Response) -> Event | None:
        if self._exchange is None or self._state.now not in (State.BUSY, State.AUTHENTICATING):
            raise RemoteProtocolError(f"an answer came while {self._state.now.name}")
        taken = self._exchange.take(apdu)
        if self._state.now is State.AUTHENTICATING:
            match taken:
                case Done(data):
                    return self._prove(data)
                case Refused(_, reason):
                    raise PeerRefused("HLS authentication", reason)
        match taken:
            case bytes(following):
                self._state.move(Step.BLOCK)
                self._send_service(following)
                return None
            case Refused():
                self._state.move(Step.ANSWERED)
                return taken
            case Done(data, items):
                self._state.move(Step.ANSWERED)
                return Answer(data, self.server_system_title, self._counter, items)
