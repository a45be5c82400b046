"""ACT checkpoints of LeRobot, of every generation: in and out."""
