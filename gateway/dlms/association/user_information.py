"""The InitiateRequest and -Response inside ACSE: plain, or protected and then checked."""

from __future__ import annotations

from gateway.dlms.apdu import (
    CipheredApdu,
    ConfirmedServiceError,
    InitiateRequest,
    InitiateResponse,
    decode_apdu,
)
from gateway.dlms.limits import Limits
from gateway.dlms.security import Protection, SecurityPolicy
from gateway.errors import DecodeError, PeerRefused, SecurityError


def wrap(initiate: bytes, protection: Protection | None) -> bytes:
    """Protect an initiate APDU where the association is ciphered."""
    if protection is None or protection.policy is SecurityPolicy.NONE:
        return initiate
    return protection.protect(initiate)


def unwrap(octets: bytes, protection: Protection | None, limits: Limits) -> bytes:
    """The plain initiate APDU; raise SecurityError for plain text in a ciphered association."""
    ciphered = protection is not None and protection.policy is not SecurityPolicy.NONE
    apdu = decode_apdu(octets, limits=limits)
    if isinstance(apdu, CipheredApdu):
        if protection is None or not ciphered:
            raise SecurityError("protected user information in an association without keys")
        return protection.unprotect(apdu)
    if ciphered and not isinstance(apdu, ConfirmedServiceError):
        raise SecurityError("plain user information in a ciphered association")
    return octets


def read_request(octets: bytes, limits: Limits) -> InitiateRequest:
    """The InitiateRequest of an AARQ; raise DecodeError."""
    apdu = decode_apdu(octets, limits=limits)
    if not isinstance(apdu, InitiateRequest):
        raise DecodeError("user information of an AARQ is no initiate-request")
    return apdu


def read_response(octets: bytes, limits: Limits) -> InitiateResponse:
    """The InitiateResponse of an AARE; raise PeerRefused for an error, DecodeError otherwise."""
    apdu = decode_apdu(octets, limits=limits)
    if isinstance(apdu, ConfirmedServiceError):
        raise PeerRefused("association", apdu.reason)
    if not isinstance(apdu, InitiateResponse):
        raise DecodeError("user information of an AARE is no initiate-response")
    return apdu
