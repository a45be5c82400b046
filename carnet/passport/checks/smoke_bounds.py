"""Whether the range of a smoke test is the contract's or the data's own."""

from collections.abc import Iterator

import numpy as np

from carnet import errors
from carnet.passport import context, contract, model
from carnet.passport.checks import parts

LARGEST_DIFFERENCE = 1e-2  # between runs on an accelerator
# Bounds from data may lie this part of its range beyond; a policy may ask for
# more than demonstrations reached, to press against things.
_WIDEST_MARGIN = 1.0
_SMALLEST_RANGE = 5e-2  # joints that hardly move have a deviation of 0.01
_TAIL = 10.0  # of samples beyond -1..1, which the environment clips
_Faults = Iterator[tuple[str, object, object, str]]


def faults(found: context.Context, smoke: model.SmokeResults) -> _Faults:
  """Yields (field, expected, found, why) where the bucket contradicts."""
  row, needed = smoke.range_check, found.passport.input_contract
  if row.n_violations or row.worst > 0:
    why = f"{row.n_violations} outputs beyond the bounds, by {row.worst:.3g}"
    yield "n_violations", 0, row.n_violations, why
  width = needed.actions.dim if needed else len(row.low)
  if len(row.low) != width or len(row.high) != width:
    why = f"{len(row.low)} and {len(row.high)} bounds for {width} actions"
    yield "low", width, len(row.low), why
    return
  low, high = np.asarray(row.low), np.asarray(row.high)
  if np.any(low > high):
    yield "low", "below high", row.low, "low is above high"
    return
  yield from _beyond(smoke, low, high)
  if needed is not None:
    yield from _foreign(found, needed.actions, row.bound_source, low, high)


def statistics(found: context.Context, *names: str) -> dict[str, np.ndarray]:
  """Returns those entries of the actions' statistics that there are, [D]."""
  needed = found.passport.input_contract
  spec = needed.actions.normalization if needed else None
  if spec is None or spec.stats_fingerprint is None:
    return {}
  try:
    block = parts.block(found, spec.stats_fingerprint)
    label = spec.stats_fingerprint.key
    return {n: parts.numbers(block, n, label) for n in names if n in block}
  except errors.UserError:
    return {}  # `norm_stats_cover_features` tells of it


def _beyond(
  smoke: model.SmokeResults, low: np.ndarray, high: np.ndarray
) -> _Faults:
  """Compares bounds, [D], with the outputs of another bucket."""
  row = smoke.distribution
  if len(row.min) != low.size or len(row.max) != high.size:
    return
  slack = 1e-5 * (1 + np.abs(low) + np.abs(high))
  wrong = (np.asarray(row.min) < low - slack) | (
    np.asarray(row.max) > high + slack
  )
  if wrong.any():
    dim = int(np.flatnonzero(wrong)[0])
    why = f"0 violations, yet output {dim} went {row.min[dim]:.4g}.."
    why += f"{row.max[dim]:.4g}"
    yield f"low/{dim}", f"{low[dim]:.4g}..{high[dim]:.4g}", row.min[dim], why


def _foreign(
  found: context.Context,
  actions: contract.Actions,
  source: str,
  low: np.ndarray,
  high: np.ndarray,
) -> _Faults:
  """Compares bounds, [D], with where they are said to come from."""
  if source == "action_space":
    yield from _of_space(actions, low, high)
  elif source == "action_stats":
    yield from _of_data(found, low, high)
  elif source == "clip_value":
    spec = actions.normalization
    if spec is None or spec.clip is None:
      yield "bound_source", "a clip", "none", "the contract clips nothing"


def _of_space(
  actions: contract.Actions, low: np.ndarray, high: np.ndarray
) -> _Faults:
  """Compares with the environment's bounds, or -1..1 that it scales to them."""
  scaled = np.asarray(actions.norm_mask, bool)
  if len(scaled) != low.size:
    return  # `mask_len` tells of it
  spec = actions.normalization
  if spec is None or spec.mode != "min_max" or spec.stats_fingerprint:
    scaled = np.zeros_like(scaled)
  around = (low <= -1) & (low >= -1 - _TAIL) & (high >= 1) & (high <= 1 + _TAIL)
  wrong = scaled & ~around
  if wrong.any():
    dim = int(np.flatnonzero(wrong)[0])
    why = f"output {dim} is bounded by {low[dim]:g}..{high[dim]:g}, not -1..1"
    yield f"low/{dim}", -1.0, float(low[dim]), why
  pairs = (("low", low, actions.low), ("high", high, actions.high))
  for name, present, bounds in pairs:
    if bounds is None or len(bounds) != low.size:
      continue
    equal = np.isclose(present, bounds, rtol=1e-5) | scaled
    if not equal.all():
      why = f"{name} is not the contract's"
      yield name, list(bounds), present.tolist(), why


def _of_data(
  found: context.Context, low: np.ndarray, high: np.ndarray
) -> _Faults:
  rows = statistics(found, "min", "max")
  if len(rows) < 2 or any(row.size != low.size for row in rows.values()):
    return
  width = np.maximum(rows["max"] - rows["min"], _SMALLEST_RANGE)
  margin, slack = _WIDEST_MARGIN * width, 1e-4 * width
  pairs = (
    ("low", rows["min"] - low, low, rows["min"]),
    ("high", high - rows["max"], high, rows["max"]),
  )
  for name, beyond, present, edge in pairs:
    wrong = np.flatnonzero((beyond < -slack) | (beyond > margin))
    if wrong.size:
      dim = int(wrong[0])
      why = f"{name} of output {dim} is not the data's edge, nor little beyond"
      yield f"{name}/{dim}", f"{edge[dim]:.4g}", f"{present[dim]:.4g}", why
