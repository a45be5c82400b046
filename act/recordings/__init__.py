"""Demonstrations in the formats that people have; see `opening.open`."""
