"""When to do a thing: every so many steps or seconds, and at the end."""

import time


class Every:
  """True at each positive multiple of `steps`, at `last`, and as time passes.

  Args:
    steps: 0 has no multiples.
    stride: how far the counter moves between two calls; a multiple that it
      jumps over counts where it lands.
    last: a step that always counts.
    seconds: also true when so much time has passed since it was last true, or
      since the beginning; 0 is never.
  """

  def __init__(
    self,
    steps: int = 0,
    last: int = -1,
    seconds: int | float = 0,
    stride: int = 1,
  ) -> None:
    self._steps, self._last, self._seconds = steps, last, seconds
    self._stride = stride
    self._since = time.monotonic()

  def __call__(self, step: int) -> bool:
    """Tells whether `step`, reached now, is such a step."""
    multiple = (
      self._steps > 0 and step > 0 and step % self._steps < self._stride
    )
    now = time.monotonic()
    late = self._seconds > 0 and now - self._since >= self._seconds
    if multiple or late or step == self._last:
      self._since = now
      return True
    return False
