"""HDLC data link of DLMS/COSEM (IEC 62056-46, frame format type 3), both stations."""

from gateway.dlms.hdlc.address import HdlcAddress
from gateway.dlms.hdlc.link import HdlcLink
from gateway.dlms.hdlc.parameters import HdlcParameters

__all__ = ["HdlcAddress", "HdlcLink", "HdlcParameters"]
