"""From checkpoints of a run to the one that a robot runs, and back."""
