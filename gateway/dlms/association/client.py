"""The client's side of an application association, over any link. Sans-io."""

from __future__ import annotations

from typing import Final

from gateway.dlms.apdu import (
    Aare,
    ActionRequestNormal,
    ActionResponseNextBlock,
    ActionResponseNormal,
    ActionResult,
    Apdu,
    CipheredApdu,
    ConfirmedServiceError,
    Conformance,
    DataAccessResult,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GetRequestNext,
    GetResponseWithDatablock,
    GetResponseWithList,
    InvokeId,
    Rlre,
    Rlrq,
    SetResponseBlock,
    decode_apdu,
    read_results,
)
from gateway.dlms.association.handshake import ClientHandshake
from gateway.dlms.association.long_requests import LongRequest
from gateway.dlms.association.requests import (
    Action,
    Answer,
    AssociationClosed,
    AssociationOpened,
    Event,
    Get,
    GetList,
    Refused,
    Request,
    Set,
)
from gateway.dlms.association.services import (
    SERVICES,
    Outcome,
    Response,
    encode_request,
    list_items,
    read_outcome,
    read_unsolicited,
)
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.association.states import AssociationState, State, Step
from gateway.dlms.axdr.octets import OctetReader
from gateway.dlms.classes import CURRENT_ASSOCIATION, AssociationMethod, ClassId
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
    LimitExceeded,
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
        self._opened = AssociationOpened(settings.conformance, settings.max_pdu_octets, None)
        self._invoke = 0
        self._asked: type[Request] = Get
        self._listed = 0
        """Attributes in the list that was asked."""
        self._blocks: list[bytes] = []
        self._block_octets = 0
        self._long: LongRequest | None = None
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
        """Whether the server agreed to be asked for several attributes at once."""
        return bool(self._opened.conformance & Conformance.MULTIPLE_REFERENCES)

    def open(self) -> None:
        """Start: connect the link, then associate. Raises LocalProtocolError when not idle."""
        self._state.move(Step.CONNECT)
        self._link.connect()

    def send(self, request: Request) -> None:
        """Ask. Raises LocalProtocolError while an answer is awaited or for a list not agreed on."""
        if isinstance(request, GetList):
            if not self.takes_lists:
                raise LocalProtocolError("the server did not agree to multiple references")
            self._listed = len(request.items)
        self._state.move(Step.REQUESTED)
        self._invoke = self._invoke % 15 + 1
        self._asked = type(request)
        self._blocks.clear()
        self._block_octets = 0
        invoke = _INVOKE_IDS[self._invoke]
        long = None
        if isinstance(request, (Set, Action)):
            long = LongRequest.of(request, invoke, self._opened)
        self._long = long
        self._send_service(long.next() if long else encode_request(request, invoke))

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

        Repeats the last frame where the link can. While leaving, silence is taken for a yes.
        """
        if self._state.now is State.RELEASING:
            self._state.move(Step.GAVE_UP)
            self._unlink()
            return True
        if self._state.now is State.UNLINKING:
            self._state.move(Step.GAVE_UP)
            return True
        return self._link.retransmit()

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

    # -- protection --------------------------------------------------------------------------

    def _send_service(self, apdu: bytes) -> None:
        if self._ciphered and self._protection is not None:
            apdu = self._protection.protect(apdu)
        self._link.send_apdu(apdu)

    def _take_octets(self, octets: bytes) -> Event | None:
        apdu = decode_apdu(octets, limits=self._settings.limits)
        self._counter = None
        if isinstance(apdu, CipheredApdu):
            if self._protection is None or self._protection.policy is SecurityPolicy.NONE:
                raise SecurityError("a ciphered APDU in an association without ciphering")
            self._counter = apdu.invocation_counter
            apdu = decode_apdu(self._protection.unprotect(apdu), limits=self._settings.limits)
        elif self._ciphered and not isinstance(apdu, (Aare, Rlre, ExceptionResponse)):
            # ExceptionResponse has no protected form: it ends a request and is never data.
            raise SecurityError(f"plain {type(apdu).__name__} in a ciphered association")
        return self._dispatch(apdu)

    # -- APDUs -------------------------------------------------------------------------------

    def _dispatch(self, apdu: Apdu) -> Event | None:
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
            case ActionResponseNormal() if self._state.now is State.AUTHENTICATING:
                return self._prove(apdu)
            case _ if isinstance(apdu, Outcome):
                self._expect(apdu)
                return self._answer(apdu)
            case SetResponseBlock() | ActionResponseNextBlock():
                self._expect(apdu)
                self._go_on(apdu.number)
                return None
            case GetResponseWithDatablock():
                self._expect(apdu)
                return self._block(apdu)
            case GetResponseWithList():
                self._expect(apdu)
                return self._list_answered(apdu.results)
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
            self._state.move(Step.PRE_ESTABLISHED)
            return self._opened
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
            self._state.move(Step.ACCEPTED)
            return self._opened
        self._state.move(Step.CHALLENGED)
        self._invoke = 1
        self._asked = Action
        method = AssociationMethod.REPLY_TO_HLS
        self._send_service(
            ActionRequestNormal(
                _INVOKE_IDS[1], ClassId.ASSOCIATION_LN, CURRENT_ASSOCIATION, method, proof
            ).encode()
        )
        return None

    def _prove(self, apdu: ActionResponseNormal) -> Event:
        self._expect(apdu)
        if apdu.result != ActionResult.SUCCESS:
            raise PeerRefused("HLS authentication", ActionResult.name_of(apdu.result))
        self._handshake.check(apdu.data)
        self._state.move(Step.PROVEN)
        return self._opened

    def _expect(self, apdu: Response) -> None:
        if self._state.now not in (State.BUSY, State.AUTHENTICATING):
            raise RemoteProtocolError(f"an answer came while {self._state.now.name}")
        if apdu.invoke.number != self._invoke:
            raise RemoteProtocolError(
                f"answer to invoke-id {apdu.invoke.number}, asked was {self._invoke}"
            )
        if self._asked not in SERVICES[type(apdu)]:
            raise RemoteProtocolError(
                f"{type(apdu).__name__} answers a {self._asked.__name__} request"
            )

    def _answer(self, apdu: Outcome) -> Event:
        if self._long and not self._long.sent and getattr(apdu, "result", 0) == 0:
            raise RemoteProtocolError("success came before the last block was sent")
        self._state.move(Step.ANSWERED)
        outcome = read_outcome(apdu)
        return outcome if isinstance(outcome, Refused) else self._answered(outcome)

    def _go_on(self, number: int) -> None:
        if self._long is None:
            raise RemoteProtocolError(f"block {number} was acknowledged, none was sent")
        apdu = self._long.after(number)
        self._state.move(Step.BLOCK)
        self._send_service(apdu)

    def _answered(self, data: bytes) -> Answer:
        return Answer(data, self.server_system_title, self._counter)

    def _block(self, block: GetResponseWithDatablock) -> Event | None:
        if block.data is None:
            self._state.move(Step.ANSWERED)
            return Refused("GET", DataAccessResult.name_of(block.error or 0))
        if block.number != len(self._blocks) + 1:
            raise RemoteProtocolError(
                f"block {block.number} came where block {len(self._blocks) + 1} belongs"
            )
        self._blocks.append(block.data)
        self._block_octets += len(block.data)
        if self._block_octets > self._settings.limits.transfer_octets:
            raise LimitExceeded(
                f"block transfer beyond {self._settings.limits.transfer_octets} octets"
            )
        if not block.last:
            if not block.data:
                raise RemoteProtocolError("an empty block that is not the last")
            self._state.move(Step.BLOCK)
            self._send_service(GetRequestNext(_INVOKE_IDS[self._invoke], block.number).encode())
            return None
        whole = b"".join(self._blocks)
        if self._asked is GetList:
            return self._list_answered(read_results(OctetReader(whole, "get-response list")))
        self._state.move(Step.ANSWERED)
        return self._answered(whole)

    def _list_answered(self, results: tuple[bytes | int, ...]) -> Answer:
        if len(results) != self._listed:
            raise RemoteProtocolError(
                f"{len(results)} results answer a list of {self._listed} attributes"
            )
        self._state.move(Step.ANSWERED)
        items = list_items(results)
        return Answer(b"", self.server_system_title, self._counter, items)
