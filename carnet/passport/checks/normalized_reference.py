"""Reference data seen through the statistics of the normalisation."""

from collections.abc import Iterator

import numpy as np

from carnet.passport import (
  context,
  contract,
  history,
  outcome,
  reference_data,
)
from carnet.passport.checks import parts

# The first frames of an episode are extremes of it, hence a margin of half
# the width beyond q01..q99, or as much for a normal distribution.
_MARGIN = 0.5
_FURTHEST = 5.0  # standard deviations, where there are no quantiles
_HARDLY = 1e-3  # a unit of the data that sensors resolve
_ALIKE = 0.1  # standard deviations between two means
_STRADDLES = 3.0  # standard deviations from zero, of relative actions
_Blocks = dict[str, np.ndarray]


def outside(
  found: context.Context,
  needed: contract.InputContract,
  vector: history.ReferenceVector,
) -> tuple[str, list[outcome.Finding]]:
  """Returns a summary, and a fault for each array far outside."""
  faults: list[outcome.Finding] = []
  rows: list[str] = []
  state, actions = needed.state.normalization, needed.actions.normalization
  for name, spec, path in (
    ("state", state, vector.input_state_path),
    ("actions", actions, vector.expected_actions_path),
  ):
    block = _block(found, spec)
    if block is None or path is None:
      continue
    values = reference_data.matrix(found, path)
    if values.shape[1] != block["mean"].size:
      continue  # expanded before it is normalised, or of another width
    beyond, far = _beyond(values, block)
    width = block["mean"].size
    rows.append(f"{name}: {int(beyond.sum())} of {width} dimensions beyond")
    if far.any():
      faults.append(
        outcome.failed(
          f"{name}: {int(far.sum())} of {width} dimensions lie far outside of "
          f"what the statistics expect, above all {_worst(values, block)}",
          f"/input_contract/{name}/normalization",
          "between q01 and q99, or little beyond",
          f"dimensions {np.flatnonzero(far).tolist()[:8]}",
          "are these the statistics of this data, in these units?",
        )
      )
  return "; ".join(rows) or "nothing is normalised by statistics", faults


def still(
  found: context.Context, needed: contract.InputContract
) -> Iterator[outcome.Finding]:
  """Yields dimensions that hardly moved in the data, and have no floor."""
  for name, part in (("state", needed.state), ("actions", needed.actions)):
    spec = part.normalization
    block = _block(found, spec)
    if spec is None or block is None:
      continue
    if spec.mode != "mean_std" and {"min", "max"} <= block.keys():
      spread = block["max"] - block["min"]
    else:
      spread = np.maximum(block["std"], spec.std_floor) + spec.epsilon
    dims = np.flatnonzero(spread < _HARDLY).tolist()
    if dims:
      yield outcome.failed(
        f"{name}: dimensions {dims[:8]} hardly moved in the data, noise in "
        "them is magnified",
        f"/input_contract/{name}/normalization",
        f"a spread of at least {_HARDLY}",
        f"{spread[dims[0]]:.2g}",
        "train with std_floor, or leave them out",
      )


def absolute(
  found: context.Context, needed: contract.InputContract
) -> Iterator[outcome.Finding]:
  """Yields relative dimensions of actions whose statistics look absolute."""
  relative = np.asarray(needed.actions.delta_dims.delta_mask, bool)
  block = _block(found, needed.actions.normalization)
  if block is None or not relative.any():
    return
  mean, std = block["mean"], block["std"]
  if mean.size != relative.size:
    return
  far = relative & (np.abs(mean) > _STRADDLES * np.maximum(std, 1e-9))
  states = _block(found, needed.state.normalization)
  if states is not None and states["mean"].size == mean.size:
    far |= relative & _alike(block, states)
  if far.any():
    yield outcome.failed(
      f"actions: dimensions {np.flatnonzero(far).tolist()[:8]} are declared "
      "relative, their statistics are of absolute ones",
      "/input_contract/actions/delta_dims/delta_mask",
      "statistics around zero",
      f"mean {mean[far][0]:.4g}, std {std[far][0]:.4g}",
      "compute the statistics of the actions after they are made relative",
    )


def _alike(one: _Blocks, other: _Blocks) -> np.ndarray:
  """Tells which actions have the statistics of states, away from zero: [D]."""
  scale = np.maximum(other["std"], 1e-9)
  ratio = np.maximum(one["std"], 1e-9) / scale
  near = np.abs(one["mean"] - other["mean"]) < _ALIKE * scale
  away = np.abs(other["mean"]) > _ALIKE * scale
  return near & away & (ratio > 0.5) & (ratio < 2.0)


def _beyond(
  values: np.ndarray, block: _Blocks
) -> tuple[np.ndarray, np.ndarray]:
  """Returns which dimensions of [F, D] leave q01..q99, and which by far."""
  if {"q01", "q99"} <= block.keys():
    low, high = block["q01"], block["q99"]
    margin = _MARGIN * (high - low) + _HARDLY
  else:
    low = block["mean"] - 2.33 * block["std"]  # q01 of a normal distribution
    high = block["mean"] + 2.33 * block["std"]
    margin = (_FURTHEST - 2.33) * block["std"] + _HARDLY
  return (
    np.any((values < low) | (values > high), axis=0),
    np.any((values < low - margin) | (values > high + margin), axis=0),
  )


def _worst(values: np.ndarray, block: _Blocks) -> str:
  scale = np.maximum(block["std"], 1e-9)
  away = np.abs((values - block["mean"]) / scale)
  frame, dim = np.unravel_index(int(np.argmax(away)), away.shape)
  return f"{values[frame, dim]:.4g} in dimension {dim}, frame {frame}"


def _block(
  found: context.Context, spec: contract.NormSpec | None
) -> _Blocks | None:
  """Returns the lists of numbers of a feature's statistics, None without."""
  if spec is None or spec.stats_fingerprint is None or spec.mode == "identity":
    return None
  pin = spec.stats_fingerprint
  block = parts.block(found, pin)
  label = f"{pin.file}/{pin.key}"
  rows = {
    name: parts.numbers(block, name, label)
    for name in ("mean", "std", "min", "max", "q01", "q99")
    if name in block
  }
  if not {"mean", "std"} <= rows.keys():
    return None
  size = rows["mean"].size
  return {name: row for name, row in rows.items() if row.size == size}
