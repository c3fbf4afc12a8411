"""Message catalogues (gettext .po), read as they are."""
