"""What files and repositories tell of a checkpoint; no JAX here."""
