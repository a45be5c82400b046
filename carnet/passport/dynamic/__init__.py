"""What only running the policy tells; everything here may import JAX."""
