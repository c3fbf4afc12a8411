"""PostgreSQL by plain SQL: the only place that imports psycopg."""
