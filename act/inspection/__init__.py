"""Looks at demonstrations before anybody trains on them; see `examine`."""
