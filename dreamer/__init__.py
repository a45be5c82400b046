"""DreamerV3: a place kept for the second agent of carnet."""
