"""Application associations: ACSE, authentication, services and block transfer, both roles."""
