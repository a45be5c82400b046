"""When to do a thing: every so many steps, and at the end."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Every:
  """True at each positive multiple of `steps` (0 has none) and at `last`."""

  steps: int
  last: int = -1

  def __call__(self, step: int) -> bool:
    """Tells whether `step` is such a step."""
    if step == self.last:
      return True
    return self.steps > 0 and step > 0 and step % self.steps == 0
