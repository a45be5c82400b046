"""Which part of the time training waits for its data, and what to do then."""

import time
from typing import Any

from carnet import errors

_TOO_MUCH = 0.2  # of the time; below, a cache would not be felt


class Meter:
  """Hands on batches, and measures the waiting for them."""

  def __init__(self, batches: Any) -> None:
    self._batches = batches
    self._waited, self._since = 0.0, time.monotonic()

  def next(self) -> Any:
    """Returns the next batch; UserError where the data are broken."""
    start = time.monotonic()
    try:
      batch = next(self._batches)
    except errors.UserError as error:
      raise errors.UserError(str(error)) from None  # without Grain's notes
    self._waited += time.monotonic() - start
    return batch

  def share(self) -> float:
    """Returns which part of the time since the last call was waiting."""
    now = time.monotonic()
    found = self._waited / max(now - self._since, 1e-9)
    self._waited, self._since = 0.0, now
    return found


class Advice:
  """Says once that a cache would pay, if it would."""

  def __init__(self, origin: str, is_cached: bool) -> None:
    self._origin = origin
    self._measured = 0
    self._silent = is_cached

  def __call__(self, share: float) -> str:
    """Returns the advice that a share of waiting asks for, or ""."""
    self._measured += 1
    # the first window has the compilation in it, and the first reads
    if self._silent or self._measured < 2 or share < _TOO_MUCH:
      return ""
    self._silent = True
    return (
      f"reading the data takes {share:.0%} of the time; a new run on a cache "
      f"would not wait: scripts/convert.py cache {self._origin} --out=DIR, "
      "then --config.dataset.path=DIR"
    )
