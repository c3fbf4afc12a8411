"""DLMS/COSEM core: sans-io, client and server role in one codec. No I/O, no clock, no tasks."""
