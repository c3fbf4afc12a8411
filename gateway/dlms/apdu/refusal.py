"""ExceptionResponse and ConfirmedServiceError: the server says no to a whole APDU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.dlms.apdu.results import CONFIRMED_SERVICE_ERRORS, ServiceError, StateError
from gateway.dlms.axdr.octets import OctetReader, unsigned

_SERVICES = {1: "initiate-error", 5: "read", 6: "write"}


@dataclass(frozen=True, slots=True)
class ExceptionResponse:
    """``state_error`` (StateError) and ``service_error`` (ServiceError) codes.

    ``invocation_counter`` is the counter that the server expects, where it refused ours.
    """

    TAG: ClassVar[int] = 0xD8
    state_error: int
    service_error: int
    invocation_counter: int | None = None

    @property
    def reason(self) -> str:
        """The standard's names of both errors, with the expected counter if given."""
        state = StateError.name_of(self.state_error)
        text = f"{state}, {ServiceError.name_of(self.service_error)}"
        if self.invocation_counter is not None:
            text += f" (expects {self.invocation_counter})"
        return text

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        codes = unsigned(self.state_error, 1, "state-error")
        codes += unsigned(self.service_error, 1, "service-error")
        if self.invocation_counter is None:
            return b"\xd8" + codes
        return b"\xd8" + codes + unsigned(self.invocation_counter, 4, "invocation counter")


@dataclass(frozen=True, slots=True)
class ConfirmedServiceError:
    """``service`` 1 is an initiate error; ``kind`` and ``value`` as CONFIRMED_SERVICE_ERRORS."""

    TAG: ClassVar[int] = 0x0E
    service: int
    kind: int
    value: int

    @property
    def reason(self) -> str:
        """The standard's names: ``initiate: dlms-version-too-low``."""
        name, values = CONFIRMED_SERVICE_ERRORS.get(self.kind, (f"reserved {self.kind}", ()))
        value = values[self.value] if self.value < len(values) else f"reserved code {self.value}"
        return f"{name}: {value}"

    @property
    def service_name(self) -> str:
        """Which service failed."""
        return _SERVICES.get(self.service, f"service {self.service}")

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\x0e" + b"".join(
            unsigned(value, 1, what)
            for value, what in (
                (self.service, "service"),
                (self.kind, "error kind"),
                (self.value, "error value"),
            )
        )


def read_exception_response(reader: OctetReader) -> ExceptionResponse:
    """Read what stands behind tag 0xD8.

    The counter belongs to invocation-counter-error; servers that leave it out are understood.
    """
    state_error = reader.u8("state-error")
    service_error = reader.u8("service-error")
    counter = None
    if service_error == ServiceError.INVOCATION_COUNTER_ERROR and reader.remaining:
        counter = reader.unsigned(4, "invocation counter")
    reader.end()
    return ExceptionResponse(state_error, service_error, counter)


def read_confirmed_service_error(reader: OctetReader) -> ConfirmedServiceError:
    """Read what stands behind tag 0x0E."""
    error = ConfirmedServiceError(
        reader.u8("service"), reader.u8("error kind"), reader.u8("error value")
    )
    reader.end()
    return error
