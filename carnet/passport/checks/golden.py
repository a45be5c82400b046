"""The recorded answers of the policy.

Axes: F frames, D dimensions.
"""

from collections.abc import Iterator

import numpy as np

from carnet import errors
from carnet.passport import context, contract, outcome, reference_data
from carnet.passport.checks import parts

_LARGEST_TOLERANCE = 0.05  # measured differences are 5e-6


@parts.with_contract
def golden_actions_sane(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: recorded actions are numbers within bounds, and tolerances are tight.

  Fail: else.
  """
  vector = found.passport.reference_test_vector
  if vector is None:
    return outcome.not_checked("there is no reference data", parts.MEASURE)
  actions = reference_data.matrix(found, vector.expected_actions_path)
  name, wanted = vector.expected_actions_path, needed.actions
  if actions.shape != (vector.n_frames, wanted.dim):
    raise errors.UserError(
      f"{name} is {list(actions.shape)}, expected "
      f"{[vector.n_frames, wanted.dim]}"
    )
  faults = []
  if not np.all(np.isfinite(actions)):
    faults.append(outcome.failed("actions hold no numbers", name))
  else:
    faults += _beside(
      name, actions, wanted, _bounds(found, wanted), vector.atol
    )
  for key, value in (("atol", vector.atol), ("rtol", vector.rtol)):
    if not 0 <= value <= _LARGEST_TOLERANCE:
      faults.append(
        outcome.failed(
          f"{key} {value:g} promises nothing",
          f"/reference_test_vector/{key}",
          f"0..{_LARGEST_TOLERANCE}",
          value,
          parts.MEASURE,
        )
      )
  return outcome.first(
    faults, f"{actions.min():.4g}..{actions.max():.4g}, all within bounds"
  )


def _bounds(
  found: context.Context, wanted: contract.Actions
) -> tuple[np.ndarray, np.ndarray]:
  """Returns what the policy's own outputs stay within, as far as told.

  The contract's bounds are the environment's, which may scale to them; those
  of the smoke test are of what the policy gives.
  """
  low, high = np.asarray(wanted.low or ()), np.asarray(wanted.high or ())
  smoke = found.passport.output_spec.smoke_results
  if smoke is None:
    return low, high
  row = smoke.range_check
  spec = wanted.normalization
  scaled = spec is not None and spec.mode == "min_max"
  if scaled or not low.size == high.size == len(row.low) == len(row.high):
    return np.asarray(row.low), np.asarray(row.high)
  return np.maximum(low, row.low), np.minimum(high, row.high)


def _beside(
  name: str,
  actions: np.ndarray,
  wanted: contract.Actions,
  bounds: tuple[np.ndarray, np.ndarray],
  atol: float,
) -> Iterator[outcome.Finding]:
  """Yields where finite actions, [F, D], leave their bounds or classes."""
  x = actions.astype(np.float64)
  low, high = bounds
  if low.size == high.size == x.shape[1]:
    yield from _beyond(name, x, low - atol, high + atol)
  if wanted.kind == "discrete_index":
    known = (x == np.floor(x)) & (x >= 0) & (x < max(wanted.classes, 1))
    if not known.all():
      yield outcome.failed(
        f"{int((~known).sum())} actions are no index",
        name,
        f"0..{wanted.classes - 1}",
        float(x[~known][0]),
        parts.MEASURE,
      )
  if wanted.kind == "discrete_onehot":
    hot = np.isin(x, (0.0, 1.0)).all()
    groups = (
      x.reshape(len(x), -1, max(wanted.classes, 1))
      if (wanted.classes and x.shape[1] % wanted.classes == 0)
      else x.reshape(len(x), 1, -1)
    )
    if not hot or not np.all(groups.sum(axis=-1) == 1):
      yield outcome.failed(
        "actions are not one-hot", name, remedy=parts.MEASURE
      )


def _beyond(
  name: str, x: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Iterator[outcome.Finding]:
  wrong = (x < low) | (x > high)
  if wrong.any():
    frame, dim = (int(i) for i in np.argwhere(wrong)[0])
    yield outcome.failed(
      f"{int(wrong.sum())} actions beyond the bounds, first in frame {frame}, "
      f"dimension {dim}",
      name,
      f"{low[dim]:.4g}..{high[dim]:.4g}",
      f"{x[frame, dim]:.4g}",
      parts.MEASURE,
    )
