"""ACT: action chunking with transformers, in JAX and Flax."""
