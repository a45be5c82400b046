"""Confidence intervals for success rates."""

import math
import statistics


def wilson(
  successes: int, trials: int, confidence: float = 0.95
) -> tuple[float, float]:
  """Returns the Wilson score interval of a proportion, both in 0..1.

  Wilson 1927; with p = successes / trials and z the normal quantile:
  (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).

  Raises:
    ValueError: no trials, or more successes than trials.
  """
  if not 0 <= successes <= trials or trials == 0:
    raise ValueError(f"{successes} successes of {trials} trials")
  z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
  p = successes / trials
  centre = p + z * z / (2 * trials)
  spread = z * math.sqrt(p * (1 - p) / trials + (z / (2 * trials)) ** 2)
  scale = 1 + z * z / trials
  return max(0.0, (centre - spread) / scale), min(
    1.0, (centre + spread) / scale
  )
