"""Edge service that reads DLMS/COSEM meters and keeps their readings provable."""
