"""When to do a thing: every so many steps, and at the end."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Every:
  """True at each positive multiple of `steps` and at `last`; 0 is never."""

  steps: int
  last: int = -1

  def __call__(self, step: int) -> bool:
    """Tells whether `step` is such a step."""
    if self.steps <= 0:
      return False
    return step == self.last or (step > 0 and step % self.steps == 0)
