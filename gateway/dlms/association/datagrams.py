"""The client's side over datagrams, which may be lost, doubled or late (UDP wrapper)."""

from __future__ import annotations

from gateway.dlms.apdu import Aare, Apdu, CipheredApdu, GetResponseWithDatablock
from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.requests import Event, Get, GetList, Request
from gateway.dlms.association.services import Response
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.association.states import State, Step
from gateway.dlms.link import Link


class DatagramClientConnection(ClientConnection):
    """A ``ClientConnection`` that asks again after silence, and passes over what came too late.

    The same APDU is never sent twice: what is said anew is protected under a new counter, as the
    meter may have seen the one before. An AARQ and a GET are said anew. A SET or an ACTION may
    have been carried out though its answer was lost: it is never said twice, and the silence is
    told.
    """

    def __init__(self, link: Link, settings: ClientSettings) -> None:
        super().__init__(link, settings)
        self._repeatable: Request | None = None

    def send(self, request: Request) -> None:
        """Ask; see ``ClientConnection.send``."""
        super().send(request)
        self._repeatable = request if isinstance(request, (Get, GetList)) else None

    def handle_timeout(self) -> bool:
        """The peer was silent for the answer time: whether it is worth waiting once more."""
        return super().handle_timeout() or self._ask_again()

    def _ask_again(self) -> bool:
        if self._state.now is State.ASSOCIATING:
            self._link.send_apdu(self._handshake.aarq())
            return True
        if self._state.now is not State.BUSY or self._repeatable is None:
            return False
        # From its beginning, under a new invoke-id: blocks of the answer before are late ones.
        self._state.move(Step.ANSWERED)
        self.send(self._repeatable)
        return True

    def _take_octets(self, octets: bytes) -> Event | None:
        apdu = self._decode(octets, self._settings.limits)
        if isinstance(apdu, CipheredApdu) and self._was_overtaken(apdu):
            return None
        return super()._take_octets(octets)

    def _was_overtaken(self, apdu: CipheredApdu) -> bool:
        """Whether a later answer was believed already: not believed, and no attack either."""
        return self._ciphered and apdu.invocation_counter <= self.last_received_counter

    def _dispatch(self, apdu: Apdu) -> Event | None:
        return None if self._is_late(apdu) else super()._dispatch(apdu)

    def _is_late(self, apdu: Apdu) -> bool:
        """Whether it answers what was answered already, or was said anew since."""
        if isinstance(apdu, Aare):
            return self._state.now is not State.ASSOCIATING
        if not isinstance(apdu, Response):
            return False
        taken = self._exchange.blocks_taken if self._exchange else 0
        if isinstance(apdu, GetResponseWithDatablock) and apdu.number <= taken:
            return True
        waits = self._state.now in (State.BUSY, State.AUTHENTICATING)
        return not waits or apdu.invoke.number != self._invoke
