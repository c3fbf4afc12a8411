"""What an independent library sends to change a key or a firmware image; prints one JSON document.

Standard input: a JSON object with ``kek``, ``guek`` and ``gak``, ``secret``, ``image`` (hex),
``identifier`` (text) and ``block_octets``. The document has each request's parameters as hex.
"""

import importlib.metadata
import json
import sys
from typing import Any


class Recorder:
    """Stands for the library's client: keeps what an object wants to be sent."""

    maxReceivePDUSize = 0xFFFF  # noqa: N815 - the library's name

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []

    def method(self, target: Any, index: int, data: Any, data_type: Any = 0) -> list[bytes]:
        """An ACTION: its method and parameters."""
        octets = data.array() if hasattr(data, "array") else data
        self.asked.append((index, bytes(octets).hex()))
        return []

    def write(self, target: Any, index: int) -> list[bytes]:
        """A SET: its attribute."""
        self.asked.append((index, ""))
        return []


def _requests(given: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    from gurux_dlms.enums import Authentication
    from gurux_dlms.objects import (
        GXDLMSAssociationLogicalName,
        GXDLMSImageTransfer,
        GXDLMSSecuritySetup,
    )

    keys, image, low, high = Recorder(), Recorder(), Recorder(), Recorder()
    kek = bytes.fromhex(given["kek"])
    setup = GXDLMSSecuritySetup("0.0.43.0.3.255")
    for key_id, name in ((0, "guek"), (2, "gak")):
        setup.globalKeyTransfer(keys, kek, [(key_id, bytes.fromhex(given[name]))])
    transfer = GXDLMSImageTransfer("0.0.44.0.0.255")
    transfer.imageBlockSize = given["block_octets"]
    octets = bytes.fromhex(given["image"])
    transfer.imageTransferInitiate(image, given["identifier"], len(octets))
    transfer.imageBlockTransfer(image, octets, None)
    for recorder, mechanism in ((low, Authentication.LOW), (high, Authentication.HIGH)):
        association = GXDLMSAssociationLogicalName("0.0.40.0.3.255")
        association.authenticationMechanismName.mechanismId = mechanism
        association.secret = bytes.fromhex(given["secret"])
        association.updateSecret(recorder)
    return {"keys": keys.asked, "image": image.asked, "low": low.asked, "high": high.asked}


def main() -> None:
    """Print the document."""
    try:
        document: dict[str, Any] = {
            "library": f"gurux-dlms {importlib.metadata.version('gurux-dlms')}",
            **_requests(json.load(sys.stdin)),
        }
    except (AttributeError, ImportError, LookupError, TypeError, ValueError) as error:
        document = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(document))


if __name__ == "__main__":
    main()
