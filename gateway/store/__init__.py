"""The edge's files: readings with their outbox, and invocation counters."""
