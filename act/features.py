"""What a policy sees and does: names and sizes, no arrays and no JAX."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Features:
  """Shapes of one sample: cameras (name, (H, W, 3)) in order, vector sizes."""

  images: tuple[tuple[str, tuple[int, int, int]], ...]
  action_size: int
  state_size: int = 0  # 0 is none
  environment_state_size: int = 0

  @property
  def cameras(self) -> tuple[str, ...]:
    """Names of the cameras, in the order of their tokens."""
    return tuple(name for name, _ in self.images)
