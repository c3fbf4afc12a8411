"""The utility's side: ingest into PostgreSQL, the API and the consumer's page."""
