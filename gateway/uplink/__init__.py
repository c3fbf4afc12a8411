"""Messages, outbox rules, signed downlink and MQTT: shared by the edge and the backend."""
