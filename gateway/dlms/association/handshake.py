"""Who the two sides are: AARQ and AARE, and the four passes of HLS (Green Book 9.2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.apdu import (
    Aare,
    Aarq,
    ApplicationContext,
    AssociationResult,
    Conformance,
    InitiateRequest,
    InitiateResponse,
    Mechanism,
    UserDiagnostic,
)
from gateway.dlms.association import user_information
from gateway.dlms.association.settings import (
    HLS_CHALLENGE_ACCEPTED,
    HLS_CHALLENGE_OCTETS,
    Authentication,
    ClientSettings,
    ServerSettings,
)
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.security import Protection, aes_challenge, check_aes_challenge
from gateway.errors import DecodeError, PeerRefused, RemoteProtocolError, SecurityError
from gateway.model import Secret

HLS: Final = frozenset({Authentication.HLS_AES, Authentication.HLS_GMAC})
_MECHANISMS: Final = {
    Authentication.NONE: Mechanism.NONE,
    Authentication.LLS: Mechanism.LLS,
    Authentication.HLS_AES: Mechanism.HLS,
    Authentication.HLS_GMAC: Mechanism.HLS_GMAC,
}


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides settled on; ``max_pdu_octets`` is what the peer is willing to receive."""

    conformance: Conformance
    max_pdu_octets: int


class _Challenges:
    """f(challenge) of the mechanism in use, both ways."""

    def __init__(
        self, authentication: Authentication, secret: Secret | None, protection: Protection | None
    ) -> None:
        self._gmac = protection if authentication is Authentication.HLS_GMAC else None
        self._secret = secret

    def answer(self, challenge: bytes) -> bytes:
        """What proves this side, as A-XDR octet-string."""
        if self._gmac is not None:
            proof = self._gmac.gmac_challenge(challenge)
        else:
            proof = aes_challenge(self._known_secret(), challenge)
        return axdr.encode(Data(Tag.OCTET_STRING, proof))

    def check(self, challenge: bytes, answer: bytes | None) -> None:
        """Raise SecurityError unless ``answer`` (A-XDR octet-string) proves the peer."""
        if answer is None:
            raise SecurityError("the peer did not answer the HLS challenge")
        try:
            proof = axdr.decode(answer).value
        except DecodeError:
            proof = None
        if not isinstance(proof, bytes):
            raise SecurityError("the answer to the HLS challenge is no octet-string")
        if self._gmac is not None:
            self._gmac.check_gmac(challenge, proof)
        else:
            check_aes_challenge(self._known_secret(), challenge, proof)

    def _known_secret(self) -> Secret:
        if self._secret is None:
            raise SecurityError("no HLS secret")
        return self._secret


def check_challenge(challenge: bytes | None, own: bytes | None) -> bytes:
    """A received challenge of lawful length that is not our own sent back."""
    if challenge is None or len(challenge) not in HLS_CHALLENGE_ACCEPTED:
        raise RemoteProtocolError("HLS needs a challenge of 8 to 64 octets")
    if challenge == own:
        # A mirror could otherwise make us compute the very answer it has to give.
        raise SecurityError("the peer's HLS challenge is our own")
    return challenge


class ClientHandshake:
    """The client's passes 1 and 3; checks 2 and 4."""

    def __init__(self, settings: ClientSettings, protection: Protection | None) -> None:
        self._settings = settings
        self._protection = protection
        self._challenges = _Challenges(settings.authentication, settings.hls_secret, protection)
        self._own: bytes | None = None
        self._theirs: bytes | None = None

    def aarq(self) -> bytes:
        """Pass 1 and the proposal."""
        settings, protection = self._settings, self._protection
        value: Secret | None = None
        if settings.authentication is Authentication.LLS:
            value = settings.lls_password
        elif settings.authentication in HLS:
            self._own = settings.random_bytes(HLS_CHALLENGE_OCTETS)
            value = Secret(self._own)
        key: Secret | None = None
        if settings.dedicated is not None and protection is not None:
            key = settings.dedicated.draw(settings.random_bytes)
            protection.take_dedicated(key, fresh=settings.dedicated.stored is None)
        initiate = InitiateRequest(settings.offered, settings.max_pdu_octets, key).encode()
        context = ApplicationContext.LN_CIPHERED if settings.ciphered else ApplicationContext.LN
        return Aarq(
            application_context=context,
            user_information=user_information.wrap(initiate, protection),
            mechanism=_MECHANISMS[settings.authentication],
            authentication=value,
            calling_ap_title=protection.own_title if protection else None,
        ).encode()

    def take_aare(self, aare: Aare) -> Agreed:
        """Check the AARE; raise PeerRefused with the standard's reason when it says no."""
        if not aare.accepted:
            raise PeerRefused("association", self._rejection(aare))
        if self._protection is not None and aare.responding_ap_title:
            self._learn_title(self._protection, aare.responding_ap_title)
        agreed = self._agreed(aare)
        if self._settings.authentication in HLS:
            if aare.diagnostic != UserDiagnostic.AUTHENTICATION_REQUIRED:
                raise SecurityError("the meter accepted without asking for the HLS passes")
            self._theirs = check_challenge(aare.authentication, self._own)
        elif aare.diagnostic == UserDiagnostic.AUTHENTICATION_REQUIRED:
            raise PeerRefused("association", aare.reason)
        return agreed

    def answer(self) -> bytes | None:
        """Pass 3 as A-XDR, None where no HLS is in use."""
        return None if self._theirs is None else self._challenges.answer(self._theirs)

    def check(self, answer: bytes | None) -> None:
        """Pass 4: raise SecurityError unless the meter proved itself."""
        if self._own is None:
            raise SecurityError("no HLS challenge was sent")
        self._challenges.check(self._own, answer)

    def _agreed(self, aare: Aare) -> Agreed:
        settings = self._settings
        if not aare.user_information:
            if not settings.assume_missing_user_information:
                raise RemoteProtocolError(
                    "AARE without user information (a meter known for it has the quirk "
                    "missing_user_information in its profile)"
                )
            return Agreed(settings.offered, settings.max_pdu_octets)
        plain = user_information.unwrap(aare.user_information, self._protection, settings.limits)
        response = user_information.read_response(plain, settings.limits)
        return Agreed(response.conformance & settings.offered, response.max_pdu_octets)

    def _rejection(self, aare: Aare) -> str:
        """Result, diagnostic, and the initiate error where the AARE carries one in plain."""
        if aare.user_information and aare.user_information[0] == 0x0E:
            try:
                user_information.read_response(aare.user_information, self._settings.limits)
            except PeerRefused as refusal:
                return f"{aare.reason}; {refusal.reason}"
            except RemoteProtocolError:
                return aare.reason
        return aare.reason

    @staticmethod
    def _learn_title(protection: Protection, title: bytes) -> None:
        if protection.peer_title not in (None, title):
            raise SecurityError("the meter answers under another system title than it is known by")
        protection.peer_title = title


class ServerHandshake:
    """The server's passes 2 and 4; checks 1 and 3."""

    def __init__(self, settings: ServerSettings, protection: Protection | None) -> None:
        self._settings = settings
        self._protection = protection
        self._challenges = _Challenges(settings.authentication, settings.hls_secret, protection)
        self._own: bytes | None = None
        self._theirs: bytes | None = None
        self.agreed: Agreed | None = None

    @property
    def challenged(self) -> bool:
        """Whether passes 3 and 4 still have to follow."""
        return self._own is not None

    def take_aarq(self, aarq: Aarq) -> bytes:
        """Answer an AARQ with an AARE; ``agreed`` is set where it was accepted."""
        self.agreed = None
        diagnostic = self._check(aarq)
        if diagnostic is not UserDiagnostic.NULL:
            return self._aare(aarq, diagnostic, None)
        if self._protection is not None:
            self._protection.forget_dedicated()
            self._protection.peer_title = aarq.calling_ap_title
        plain = user_information.unwrap(
            aarq.user_information or b"", self._protection, self._settings.limits
        )
        request = user_information.read_request(plain, self._settings.limits)
        self.agreed = Agreed(
            request.conformance & self._settings.offered,
            request.max_pdu_octets or 0xFFFF,
        )
        if self._protection is not None and self._settings.ciphered and request.dedicated_key:
            self._protection.take_dedicated(request.dedicated_key, fresh=True)
        if self._settings.authentication in HLS:
            secret = aarq.authentication
            self._theirs = check_challenge(secret.reveal() if secret else None, None)
            self._own = self._settings.random_bytes(HLS_CHALLENGE_OCTETS)
            return self._aare(aarq, UserDiagnostic.AUTHENTICATION_REQUIRED, self._own)
        return self._aare(aarq, UserDiagnostic.NULL, None)

    def prove(self, answer: bytes | None) -> bytes:
        """Pass 3 checked, pass 4 returned as A-XDR; raise SecurityError."""
        if self._own is None or self._theirs is None:
            raise SecurityError("no HLS challenge was sent")
        self._challenges.check(self._own, answer)
        return self._challenges.answer(self._theirs)

    def _check(self, aarq: Aarq) -> UserDiagnostic:
        settings = self._settings
        if settings.refuse_with is not None:
            return UserDiagnostic(settings.refuse_with)
        context = ApplicationContext.LN_CIPHERED if settings.ciphered else ApplicationContext.LN
        if aarq.application_context != context:
            return UserDiagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
        if aarq.mechanism != _MECHANISMS[settings.authentication]:
            if aarq.mechanism == Mechanism.NONE:
                return UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_REQUIRED
            return UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED
        if settings.authentication is Authentication.LLS and (
            aarq.authentication != settings.lls_password
        ):
            return UserDiagnostic.AUTHENTICATION_FAILURE
        if self._protection is not None and len(aarq.calling_ap_title or b"") != 8:
            return UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED
        return UserDiagnostic.NULL

    def _aare(self, aarq: Aarq, diagnostic: UserDiagnostic, challenge: bytes | None) -> bytes:
        accepted = self.agreed is not None
        information: bytes | None = None
        if self.agreed is not None:
            response = InitiateResponse(self.agreed.conformance, self._settings.max_pdu_octets)
            information = user_information.wrap(response.encode(), self._protection)
        return Aare(
            application_context=aarq.application_context,
            result=(
                AssociationResult.ACCEPTED if accepted else AssociationResult.REJECTED_PERMANENT
            ),
            diagnostic=diagnostic,
            user_information=information,
            mechanism=aarq.mechanism if challenge else Mechanism.NONE,
            authentication=challenge,
            responding_ap_title=self._protection.own_title if self._protection else None,
        ).encode()
