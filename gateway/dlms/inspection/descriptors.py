"""Push bodies whose values are named by attribute descriptors without A-XDR tags.

A customer interface that a utility's document shows (EG.D, RS-485) writes an array of structures
{class-id, logical name, attribute, value} and leaves out the tags of the first three: 9 octets
where A-XDR has 3 + 8 + 2. That is no A-XDR, so it is read only as a quirk.
"""

from __future__ import annotations

from typing import Final

from gateway.dlms import axdr
from gateway.dlms.axdr import Tag
from gateway.dlms.axdr.octets import OctetReader, encode_length
from gateway.errors import DecodeError

UNTAGGED_DESCRIPTORS: Final = "untagged-descriptors"
"""Name of the quirk."""
_PAIR: Final = bytes((Tag.STRUCTURE, 2))
_NAME: Final = slice(2, 8)
_NAME_HEAD: Final = bytes((Tag.OCTET_STRING, 6))


def with_named_values(body: bytes) -> bytes:
    """The same body as A-XDR: structure {first value, array of {logical name, value}}.

    Class and attribute are left out: no other push names them. Raises DecodeError for a body of any
    other shape.
    """
    reader = OctetReader(body, "push body")
    if reader.take(2, "structure") != _PAIR:
        raise DecodeError("push body is not a structure of two", 0)
    written = [_PAIR, _value(reader)]
    if reader.u8("array tag") != Tag.ARRAY:
        raise DecodeError("push body: an array follows the first value", reader.offset - 1)
    count = reader.length("array length")
    written.append(bytes((Tag.ARRAY,)) + encode_length(count))
    for _ in range(count):
        if reader.take(2, "pair") != _PAIR:
            raise DecodeError("push body: not a pair of descriptor and value", reader.offset - 2)
        name = reader.take(9, "descriptor")[_NAME]
        written += [_PAIR, _NAME_HEAD, name, _value(reader)]
    reader.end()
    return b"".join(written)


def _value(reader: OctetReader) -> bytes:
    start = reader.offset
    _, reader.offset = axdr.decode_at(reader.octets, start)
    return reader.octets[start : reader.offset]
