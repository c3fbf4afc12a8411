"""Management of a meter: settings, calendar, firmware image and secrets, as jobs without I/O.

A job is a generator like a reading procedure (``gateway.dlms.reading``) that also says what must be
durable before it goes on, when it waits, and when it needs a fresh session. No job moves a relay.
"""
