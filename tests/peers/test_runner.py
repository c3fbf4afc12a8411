"""What a peer says reaches its caller as values or as one error."""

import json
import time

import pytest

from hil_tests.peers.runner import PeerFailed, arguments_of, run_client, run_peer

pytestmark = pytest.mark.peer


def test_options_become_arguments_and_absent_ones_are_left_out() -> None:
    options = {"port": 4059, "physical": None, "no_release": True, "cpu": False}
    assert arguments_of(options) == ["--port", "4059", "--no-release"]


@pytest.mark.parametrize("program", ["gurux_client", "dlms_cosem_client"])
def test_a_meter_that_is_not_there_is_an_error_that_says_so(program: str) -> None:
    with pytest.raises(PeerFailed, match=r"(?i)refused|unable to connect"):
        run_client(program, {"port": 1, "link": "wrapper", "ops": "clock"}, {})


def test_a_program_that_prints_no_document_is_an_error_with_its_last_words() -> None:
    with pytest.raises(PeerFailed, match="invalid choice"):
        run_peer("gurux_client", ["--port", "1", "--link", "pigeon"])


def test_a_peer_that_hangs_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(PeerFailed, match="no document within"):
        run_peer("decode_rows", ["--library", "gurux-dlms", "--columns", "8"], timeout_s=0.05)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("library", ["gurux-dlms", "dlms-cosem"])
def test_both_libraries_decode_the_benchmark_s_buffer_to_all_its_rows(library: str) -> None:
    buffer = bytes.fromhex("0102") + 2 * bytes.fromhex("0202090c07ea0301ff0a1e0000feb60006000004d2")
    arguments = ["--library", library, "--columns", "2", "--rounds", "1", "--times", "1"]
    document = run_peer("decode_rows", arguments, buffer)
    assert document["rows"] == {"plain": 2, "profile": 2}
    assert json.dumps(document)
