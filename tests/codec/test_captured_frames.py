"""Captured and published frames decode to exactly what their sources state, and back."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.dlms import apdu, axdr
from gateway.dlms.apdu import DataAccessResult, decode_apdu
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.cosem_time import CosemDateTime, TimeRules, resolve
from gateway.dlms.selective_access import CLOCK_TIME, RangeDescriptor
from gateway.errors import DecodeError
from gateway.model import Obis, unit_name
from tests.codec.material import capture, frames

LISTS = [
    "aidon_no_lists",
    "kaifa_no_lists",
    "kaifa_salzburg_raw",
    "kamstrup_doc_examples",
    "kamstrup_no_1phase",
    "kamstrup_se_3phase",
]
PLAIN = [
    "greenbook_acse_plain",
    "greenbook_ciphered_suite0",
    "set_action_selective_access",
    *LISTS,
]
UTC = TimeRules(zone_minutes=0)
CONFORMANCE_SPELLING = {
    "block_transfer_with_get": "block_transfer_with_get_or_read",
    "block_transfer_with_set": "block_transfer_with_set_or_write",
}
CHOICES = {
    apdu.GetRequestNormal: "GET-request-normal",
    apdu.GetRequestNext: "GET-request-next",
    apdu.GetResponseNormal: "GET-response-normal",
    apdu.GetResponseWithDatablock: "GET-response-with-data-block",
    apdu.SetRequestNormal: "SET-request-normal",
    apdu.SetResponseNormal: "SET-response-normal",
    apdu.ActionRequestNormal: "ACTION-request-normal",
    apdu.ActionResponseNormal: "ACTION-response-normal",
    apdu.Aarq: "AARQ",
    apdu.Aare: "AARE",
    apdu.Rlrq: "RLRQ",
    apdu.Rlre: "RLRE",
    apdu.InitiateRequest: "InitiateRequest",
    apdu.InitiateResponse: "InitiateResponse",
    apdu.CipheredApdu: "glo-initiate-request",
}


def expected_frames(name: str) -> list[tuple[int, dict[str, Any]]]:
    """(frame number, what its source states) of a file whose frames stand alone."""
    stated = capture(name)["expected"]
    return [
        (int(key.removeprefix("frame_")), value)
        for key, value in stated.items()
        if key.startswith("frame_")
    ]


def cases(*names: str) -> list[Any]:
    return [
        pytest.param(name, number, stated, id=f"{name}-{number}")
        for name in names
        for number, stated in expected_frames(name)
        if stated and "rows" not in stated
    ]


@pytest.mark.parametrize("name", PLAIN)
def test_frames_come_out_again_octet_by_octet(name: str) -> None:
    for octets in frames(name):
        message = decode_apdu(octets, tagged_date_time=True)
        assert message.encode() == octets
        data = getattr(message, "data", None)
        if data is not None:
            assert axdr.encode(axdr.decode(data)) == data


def test_get_frames_come_out_again_octet_by_octet() -> None:
    *services, buffer = frames("get_service_and_blocks")
    for octets in services:
        assert decode_apdu(octets).encode() == octets
    assert axdr.encode(axdr.decode(buffer)) == buffer


# --- associations --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "stated"), cases("greenbook_acse_plain", "greenbook_ciphered_suite0")
)
def test_an_association_apdu_holds_what_its_source_states(
    name: str, number: int, stated: dict[str, Any]
) -> None:
    message = decode_apdu(frames(name)[number])
    shown = association_facts(message)
    # The last one is a matter of the security tests.
    unknown = {
        "user_information",
        "mechanism_present",
        "authentication_value_present",
        "plaintext_hex",
    }
    for key in stated.keys() - unknown - shown.keys():
        pytest.fail(f"nothing was compared with {key}")
    assert {key: shown[key] for key in stated.keys() - unknown} == {
        key: value for key, value in stated.items() if key not in unknown
    }
    inner = shown.get("inner")
    match stated.get("user_information"):
        case "confirmed-service-error":
            assert isinstance(inner, apdu.ConfirmedServiceError)
        case "initiate-request":
            assert isinstance(inner, apdu.InitiateRequest)
        case "initiate-response":
            assert isinstance(inner, apdu.InitiateResponse)
        case "glo-initiate-response":
            assert isinstance(inner, apdu.CipheredApdu)
            assert inner.name == "glo-initiate-response"


def association_facts(message: Any) -> dict[str, Any]:
    """What a capture file may state of an association APDU, by the file's own words."""
    facts: dict[str, Any] = {"apdu": CHOICES[type(message)]}
    inner = message
    if information := getattr(message, "user_information", None):
        inner = facts["inner"] = decode_apdu(information)
    if isinstance(message, apdu.Aarq | apdu.Aare):
        facts["ciphered"] = message.application_context == apdu.ApplicationContext.LN_CIPHERED
        facts["mechanism"] = {0: None, 1: "LLS", 2: "HLS", 5: "HLS-GMAC"}[message.mechanism]
    if isinstance(message, apdu.Aarq):
        if message.authentication is not None:
            facts["authentication_value_ascii"] = message.authentication.reveal().decode()
        if message.calling_ap_title is not None:
            facts["system_title"] = message.calling_ap_title.hex().upper()
    if isinstance(message, apdu.Aare):
        result, diagnostic = message.reason.split(", ")
        facts |= {"result": result, "diagnostic": diagnostic}
        if message.authentication is not None:
            facts["authentication_value_ascii"] = message.authentication.decode()
    if isinstance(message, apdu.Rlrq | apdu.Rlre):
        facts["reason"] = {0: "normal"}[message.reason or 0]
    if isinstance(inner, apdu.ConfirmedServiceError):
        facts["initiate_error"] = inner.reason.removeprefix("initiate: ")
    if isinstance(inner, apdu.InitiateRequest | apdu.InitiateResponse):
        names = inner.conformance.names
        facts["conformance"] = [CONFORMANCE_SPELLING.get(name, name) for name in names]
        facts["dlms_version"] = inner.dlms_version
        # An absent octet means the default, 0.
        facts["quality_of_service"] = inner.quality_of_service or 0
        client = isinstance(inner, apdu.InitiateRequest)
        side = "client" if client else "server"
        facts[f"{side}_max_receive_pdu_size"] = inner.max_pdu_octets
    if isinstance(inner, apdu.InitiateRequest):
        facts["response_allowed"] = inner.response_allowed
        if inner.dedicated_key is not None:
            facts["dedicated_key"] = inner.dedicated_key.reveal().hex().upper()
    if isinstance(message, apdu.CipheredApdu):
        facts["security_control"] = f"{message.security_control:02X}"
        facts["invocation_counter"] = message.invocation_counter
    return facts


# --- services ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "stated"), cases("get_service_and_blocks", "set_action_selective_access")
)
def test_a_service_apdu_holds_what_its_source_states(
    name: str, number: int, stated: dict[str, Any]
) -> None:
    shown = service_facts(decode_apdu(frames(name)[number]))
    if "data_hex_first" in stated:
        shown["data_hex_first"] = shown["data_hex"][: len(stated["data_hex_first"])]
    for key in stated.keys() - shown.keys():
        pytest.fail(f"nothing was compared with {key}")
    assert {key: shown[key] for key in stated} == stated


def service_facts(message: Any) -> dict[str, Any]:
    """What a capture file may state of a service APDU, by the file's own words."""
    facts: dict[str, Any] = {
        "apdu": CHOICES[type(message)],
        "invoke_id": message.invoke.number,
        "confirmed": message.invoke.confirmed,
        "high_priority": message.invoke.high_priority,
    }
    for ours, theirs in (
        ("class_id", "class_id"),
        ("attribute", "attribute"),
        ("method", "method"),
        ("number", "block_number"),
        ("last", "last"),
    ):
        if hasattr(message, ours):
            facts[theirs] = getattr(message, ours)
    if hasattr(message, "obis"):
        facts["obis"] = message.obis.dotted
    if hasattr(message, "result"):
        facts["status"] = facts["result"] = DataAccessResult.name_of(message.result)
    if getattr(message, "error", None) is not None:
        facts["error"] = DataAccessResult.name_of(message.error)
    if hasattr(message, "access"):
        facts["access_selection"] = message.access is not None
    if isinstance(getattr(message, "access", None), RangeDescriptor):
        facts["selector"] = "range"
        facts["restricting_object"] = message.access.restricting.obis.dotted
        facts["selected_columns"] = "all" if not message.access.columns else "some"
    data = getattr(message, "data", None)
    facts["data"] = data is not None
    if data is not None:
        facts |= {"data_hex": data.hex().upper(), "data_octets": len(data)}
    if isinstance(message, apdu.GetResponseNormal) and data is not None:
        value = axdr.decode(data)
        facts |= {"value": value.value, "type": {6: "double-long-unsigned"}[value.tag]}
    return facts


def test_range_bounds_state_summer_and_winter_time() -> None:
    request = decode_apdu(frames("set_action_selective_access")[7])
    assert isinstance(request, apdu.GetRequestNormal)
    access = request.access
    assert isinstance(access, RangeDescriptor)
    assert access.restricting == CLOCK_TIME
    bounds = [
        resolve(CosemDateTime.from_octets(bound.value), UTC).local
        for bound in (access.from_value, access.to_value)
        if isinstance(bound.value, bytes)
    ]
    assert bounds == ["2018-06-01T00:03:00+02:00", "2021-01-06T00:03:00+01:00"]


def test_general_ciphering_is_read_with_its_system_title() -> None:
    wrapper_octets = 8
    stated = capture("fio_gas_udp_push")
    for octets, counter in zip(
        frames("fio_gas_udp_push"), stated["measured"]["invocation_counters"], strict=True
    ):
        message = decode_apdu(octets[wrapper_octets:])
        assert isinstance(message, apdu.CipheredApdu)
        assert message.encode() == octets[wrapper_octets:]
        assert message.system_title == bytes.fromhex(stated["keys"]["system_title"])
        assert message.invocation_counter == counter
        assert message.security_control == 0x30


# --- notifications -------------------------------------------------------------------------


def scaled(data: Data, scaler_unit: Data | None = None) -> Any:
    """A value as the capture files state it: scaled, times as local ISO, strings as they are."""
    if isinstance(data.value, bytes):
        if len(data.value) == 12:
            return resolve(CosemDateTime.from_octets(data.value), UTC).local
        return data.value.decode()
    if scaler_unit is not None and isinstance(scaler_unit.value, tuple):
        scaler = scaler_unit.value[0].value
        assert isinstance(scaler, int)
        assert isinstance(data.value, int)
        return Decimal(data.value).scaleb(scaler)
    return data.value


def by_obis(body: Any) -> dict[str, tuple[Any, str | None]]:
    """OBIS -> (value, unit), from nested triples or a flat run of names and values."""
    found: dict[str, tuple[Any, str | None]] = {}
    members = list(body.value)
    while members:
        first = members.pop(0)
        if first.tag == Tag.STRUCTURE:
            name, data, *rest = first.value
        elif first.tag == Tag.OCTET_STRING and len(first.value) == 6:
            name, data = first, members.pop(0)
            rest = [members.pop(0)] if members and is_scaler_unit(members[0]) else []
        else:
            continue
        unit = unit_name(rest[0].value[1].value) if rest else None
        found[Obis(name.value).dotted] = (scaled(data, rest[0] if rest else None), unit)
    return found


def is_scaler_unit(data: Any) -> bool:
    return data.tag == Tag.STRUCTURE and [m.tag for m in data.value] == [Tag.INTEGER, Tag.ENUM]


def notification(octets: bytes) -> apdu.DataNotification:
    message = decode_apdu(octets, tagged_date_time=True)
    assert isinstance(message, apdu.DataNotification)
    return message


def same(found: Any, stated: Any) -> bool:
    """Equal, where the file may leave the zone of a local time out or write it with a space."""
    if isinstance(stated, str) and isinstance(found, str) and stated[4:5] == "-":
        return found.startswith(stated.replace(" ", "T"))
    return bool(found == stated)


@pytest.mark.parametrize(
    ("name", "number", "stated"), cases(*sorted(set(LISTS) - {"kaifa_salzburg_raw"}))
)
def test_a_pushed_list_holds_what_its_source_states(
    name: str, number: int, stated: dict[str, Any]
) -> None:
    message = notification(frames(name)[number])
    body = axdr.decode(message.data)
    assert isinstance(body.value, tuple)
    assert len(body.value) == stated["body_elements"]
    if "apdu_date_time" in stated:
        local = resolve(CosemDateTime.from_octets(message.date_time), UTC).local
        assert same(local, stated["apdu_date_time"])
    if "first_element" in stated:
        assert body.value[0].value == stated["first_element"]
    for position, value in stated.get("position", {}).items():
        assert same(scaled(body.value[int(position)]), value)
    found = by_obis(body)
    for obis, value in stated.get("obis", {}).items():
        assert same(found[obis][0], value["value"]), obis


@pytest.mark.parametrize(
    "name",
    ["kaifa_salzburg_raw", "kaifa_netz_noe_mbus", "kamstrup_omnipower_hdlc"],
)
def test_a_single_message_holds_what_its_source_states(name: str) -> None:
    stated = capture(name)
    plain = stated.get("measured", {}).get("plaintext_hex", stated["frames_hex"])
    message = notification(bytes.fromhex(plain[0]))
    assert message.encode() == bytes.fromhex(plain[0])
    found = by_obis(axdr.decode(message.data))
    assert stated["expected"]
    for obis, fact in stated["expected"].items():
        value, unit = found[obis]
        assert same(value, fact["value"]), obis
        assert "unit" not in fact or unit == fact["unit"], obis


def test_a_tagged_date_time_needs_the_profiles_leave() -> None:
    for octets in frames("kaifa_no_lists"):
        with pytest.raises(DecodeError, match="only where the profile names the quirk"):
            decode_apdu(octets)


def test_a_body_that_is_no_valid_axdr_is_refused() -> None:
    (octets,) = frames("egd_spec_example_raw")
    with pytest.raises(DecodeError):
        axdr.decode(notification(octets).data)


def test_the_invoke_id_is_read_by_the_standard() -> None:
    invoke = notification(frames("aidon_no_lists")[0]).invoke
    assert (invoke.number, invoke.confirmed) == (0, True)
