"""How many updates are due after so many environment steps."""

import fractions
import math
from typing import Any

from carnet import errors


class Ratio:
  """Updates for each environment step, without rounding that adds up.

  As the original: the first call is worth one update, and the steps before it
  none. Unlike there, the remainder is exact and part of the state.

  Args:
    train_ratio: replayed steps for each environment step, as in the configs;
      a decimal such as 0.1 means just that.
    replayed: steps that one update replays, batch size times length.
  """

  def __init__(
    self, train_ratio: int | float | fractions.Fraction, replayed: int = 1
  ) -> None:
    if not (math.isfinite(train_ratio) and train_ratio >= 0 and replayed > 0):
      raise errors.UserError(
        f"a train ratio of {train_ratio} with updates of {replayed} steps is "
        "not possible: use a ratio of at least 0 and at least one step"
      )
    self._ratio = fractions.Fraction(str(train_ratio)) / replayed
    self._since: int | None = None  # the step of the first call
    self._done = 0
    self._last = 0

  def __call__(self, step: int) -> int:
    """Returns how many updates are due now, at environment step `step`."""
    step = int(step)
    if self._since is None:
      self._since = step
    self._last = step
    if not self._ratio:
      return 0
    due = 1 + math.floor((step - self._since) * self._ratio) - self._done
    self._done += max(due, 0)
    return max(due, 0)

  def state(self) -> dict[str, Any]:
    """Returns the ratio and where it stands, as JSON."""
    return {
      "ratio": str(self._ratio),
      "since": self._since,
      "done": self._done,
      "last": self._last,
    }

  def load_state(self, state: dict[str, Any]) -> None:
    """Goes on from there; a changed ratio counts from that step on."""
    since, done, last = state["since"], state["done"], state["last"]
    if since is not None and state["ratio"] != str(self._ratio):
      since, done = last, 1
    self._since, self._done, self._last = since, done, last
