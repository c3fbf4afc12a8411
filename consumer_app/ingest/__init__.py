"""From MQTT to PostgreSQL, and the signed answer back."""
