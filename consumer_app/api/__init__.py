"""The HTTP API under ``/api/v1``, described by docs/openapi.json."""
