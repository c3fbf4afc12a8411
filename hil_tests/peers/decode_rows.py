"""Times how fast an independent library decodes a profile buffer; prints one JSON document.

Standard input holds the A-XDR octets of one buffer (array of structures, clock first). ``plain``
is the library's general decoder, ``profile`` its own way from a buffer to rows with times.
CPU seconds of the best of ``--rounds`` runs, each decoding the buffer ``--times`` times.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any


def gurux(buffer: bytes, columns: int) -> dict[str, Callable[[], Any]]:
    """The two ways of gurux-dlms."""
    from gurux_dlms import GXByteBuffer, GXDLMSClient
    from gurux_dlms.internal._GXCommon import _GXCommon
    from gurux_dlms.internal._GXDataInfo import _GXDataInfo
    from gurux_dlms.objects import (
        GXDLMSCaptureObject,
        GXDLMSClock,
        GXDLMSProfileGeneric,
        GXDLMSRegister,
    )

    client = GXDLMSClient(True)
    profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
    profile.captureObjects.append((GXDLMSClock("0.0.1.0.0.255"), GXDLMSCaptureObject(2, 0)))
    profile.captureObjects.extend(
        (GXDLMSRegister(f"1.0.{number}.29.0.255"), GXDLMSCaptureObject(2, 0))
        for number in range(1, columns)
    )

    def plain() -> Any:
        return _GXCommon.getData(client.settings, GXByteBuffer(buffer), _GXDataInfo())

    def update() -> Any:
        profile.buffer = []
        client.updateValue(profile, 2, plain())
        return profile.buffer

    return {"plain": plain, "profile": update}


def dlms_cosem(buffer: bytes, columns: int) -> dict[str, Callable[[], Any]]:
    """The two ways of dlms-cosem."""
    from dlms_cosem import cosem, enumerations
    from dlms_cosem.parsers import ProfileGenericBufferParser
    from dlms_cosem.utils import parse_as_dlms_data

    kinds = [enumerations.CosemInterface.CLOCK]
    kinds += [enumerations.CosemInterface.REGISTER] * (columns - 1)
    parser = ProfileGenericBufferParser(
        capture_objects=[
            cosem.CosemAttribute(kind, cosem.Obis(1, 0, number, 29, 0), 2)
            for number, kind in enumerate(kinds)
        ],
        capture_period=30,
    )
    return {
        "plain": lambda: parse_as_dlms_data(buffer),
        "profile": lambda: parser.parse_bytes(buffer),
    }


LIBRARIES = {"gurux-dlms": gurux, "dlms-cosem": dlms_cosem}


def best_cpu_s(decode: Callable[[], Any], rounds: int, times: int) -> float:
    """CPU seconds of one decoding, in the best round."""
    decode()
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(times):
            decode()
        best = min(best, (time.process_time() - started) / times)
    return best


def main() -> int:
    """Run; print one JSON document; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", choices=LIBRARIES, required=True)
    parser.add_argument("--columns", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=2)
    options = parser.parse_args()
    buffer = sys.stdin.buffer.read()
    with contextlib.redirect_stdout(io.StringIO()):
        ways = LIBRARIES[options.library](buffer, options.columns)
        rows = {name: len(decode()) for name, decode in ways.items()}
        seconds = {
            name: best_cpu_s(decode, options.rounds, options.times) for name, decode in ways.items()
        }
    document = {
        "library": options.library,
        "version": importlib.metadata.version(options.library),
        "rows": rows,
        "rows_per_s": {name: round(rows[name] / seconds[name]) for name in ways},
    }
    print(json.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
