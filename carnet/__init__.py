"""Robot policies in JAX whose checkpoints can be trusted."""

__version__ = "0.1.0"
