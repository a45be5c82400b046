"""The numbers of every normalisation: pinned, complete, sane, undone."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from carnet import errors
from carnet.passport import context, contract, outcome
from carnet.passport.checks import normalized_reference, parts, round_trip

# entries of the statistics that a mode reads
READS = {
  "mean_std": ("mean", "std"),
  "min_max": ("min", "max"),
  "quantiles": ("q01", "q99"),
  "quantile10": ("q10", "q90"),
}
_ACTIONS = "/input_contract/actions"
# A division by less turns the last digit of a sensor into a large number.
SMALLEST_DIVISOR = 1e-6


@parts.with_contract
def norm_stats_sha(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: statistics are the ones that the passport pins. Fail: else."""
  pinned = {
    f"{where}/stats_fingerprint": spec.stats_fingerprint
    for where, spec, _ in parts.normalizations(needed)
  }
  for index, step in enumerate(found.passport.transform_pipeline):
    pin = getattr(step.params, "statistics", None)
    pinned[f"/transform_pipeline/{index}/params/statistics"] = pin
  listed = parts.declared(found)
  faults = [
    fault
    for where, pin in pinned.items()
    if pin is not None
    for fault in _other_file(found, where, pin, listed.get(pin.file))
  ]
  count = sum(pin is not None for pin in pinned.values())
  return outcome.first(faults, f"{count} fingerprints agree")


def _other_file(
  found: context.Context,
  where: str,
  pin: contract.Fingerprint,
  listed: str | None,
) -> Iterator[outcome.Finding]:
  places = {
    "the file": parts.on_disk(found, pin.file),
    "weight_files": listed,
  }
  for name, sha256 in places.items():
    if sha256 != pin.file_sha256:
      yield outcome.failed(
        f"{pin.file}: {name} {'is absent' if sha256 is None else 'differs'}",
        f"{where}/file_sha256",
        pin.file_sha256,
        sha256 or "nothing",
        "restore the file of the training, or generate the passport again",
      )


@parts.with_contract
def norm_formula_known(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: each mode has the parameters that its formula needs. Fail: else."""
  specs = parts.normalizations(needed)
  faults = [
    outcome.failed(
      f"{spec.mode} {fault}", where, remedy="generate-passport records it"
    )
    for where, spec, _ in specs
    for fault in _incomplete(where, spec)
  ]
  modes = ", ".join(spec.mode for _, spec, _ in specs)
  return outcome.first(faults, modes or "nothing is normalised")


def _incomplete(where: str, spec: contract.NormSpec) -> Iterator[str]:
  of_bounds = spec.mode == "min_max" and where.startswith(_ACTIONS)
  if spec.mode in READS and spec.stats_fingerprint is None and not of_bounds:
    yield "has no stats_fingerprint: which numbers?"
  if spec.mode == "scale" and None in (spec.factor, spec.offset):
    yield "has no factor or no offset"
  if spec.mode == "scale" and spec.factor == 0:
    yield "has factor 0"
  if spec.mode == "imagenet" and "/images/" not in where:
    yield "is for images"
  if spec.epsilon < 0 or spec.std_floor < 0:
    yield "has a negative epsilon or std_floor"
  if spec.clip is not None and spec.clip[0] >= spec.clip[1]:
    yield f"clips to {spec.clip}, which is empty"


@parts.with_contract
def norm_stats_cover_features(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: whatever is normalised has statistics of its width.

  Fail: a file, key, entry or width is another; loaders elsewhere then pass the
  feature through unchanged, and the robot moves by z-scores.
  """
  faults: list[outcome.Finding] = []
  for where, spec, width in parts.normalizations(needed):
    widths = {width}
    if "/state/" in where:  # several vectors, normalised one by one
      widths |= {part.stop - part.start for part in needed.state.sub_keys}
    faults += _uncovered(found, where, spec, widths)
  for step in found.passport.transform_pipeline:
    pin = getattr(step.params, "statistics", None)
    if pin is not None:
      faults += _absent(found, step.index, pin, step.params)
  return outcome.first(faults, "all that is normalised has its statistics")


def _uncovered(
  found: context.Context, where: str, spec: contract.NormSpec, widths: set[int]
) -> Iterator[outcome.Finding]:
  pin = spec.stats_fingerprint
  if pin is None or spec.mode not in READS:
    return
  try:
    rows = _rows(found, spec)
  except errors.UserError as error:
    yield outcome.failed(
      str(error),
      f"{where}/stats_fingerprint/key",
      f"{', '.join(READS[spec.mode])} of '{pin.key}'",
      "nothing",
      "ship the statistics of the training under the feature's own name",
    )
    return
  for name, row in rows.items():
    if row.size not in widths:
      yield outcome.failed(
        f"'{name}' of '{pin.key}' has {row.size} numbers for {max(widths)} "
        "dimensions",
        where,
        max(widths),
        row.size,
        "ship the statistics of this policy's own features",
      )


def _absent(
  found: context.Context, index: int, pin: contract.Fingerprint, params: Any
) -> Iterator[outcome.Finding]:
  """Yields what a step of the pipeline reads and the file does not have."""
  names = (getattr(params, "low", "mean"), getattr(params, "high", "std"))
  try:
    block = parts.block(found, pin)
    for name in names:
      parts.numbers(block, name, f"{pin.file}/{pin.key}")
  except errors.UserError as error:
    yield outcome.failed(
      str(error),
      f"/transform_pipeline/{index}/params/statistics",
      " and ".join(names),
      "nothing",
      "ship the statistics of the training under the feature's own name",
    )


def _rows(
  found: context.Context, spec: contract.NormSpec
) -> dict[str, np.ndarray]:
  """Returns what the mode reads of the statistics; UserError if absent."""
  pin = spec.stats_fingerprint
  assert pin is not None
  block = parts.block(found, pin)
  label = f"{pin.file}/{pin.key}"
  return {name: parts.numbers(block, name, label) for name in READS[spec.mode]}


@parts.with_contract
def norm_stats_finite_nonzero(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: statistics are numbers, and nothing is divided by almost zero.

  Fail: else.
  """
  faults, smallest = [], np.inf
  for where, spec, width in parts.normalizations(needed):
    if spec.stats_fingerprint is None or spec.mode not in READS:
      continue
    rows = _rows(found, spec)
    if any(not np.all(np.isfinite(row)) for row in rows.values()):
      faults.append(outcome.failed("statistics hold what is no number", where))
      continue
    divisor = _divisor(spec, rows)
    if where.startswith(_ACTIONS) and divisor.size == width:
      divisor = divisor[np.asarray(needed.actions.norm_mask[:width], bool)]
    small = np.flatnonzero(divisor < SMALLEST_DIVISOR)
    smallest = min(smallest, float(divisor.min(initial=np.inf)))
    if small.size:
      faults.append(
        outcome.failed(
          f"'{spec.stats_fingerprint.key}' is divided by "
          f"{divisor[small[0]]:.2g} in the dimensions {small.tolist()[:8]}",
          where,
          f"at least {SMALLEST_DIVISOR}",
          f"{divisor[small[0]]:.2g}",
          "train with std_floor, or leave constant dimensions unnormalised",
        )
      )
  if not np.isfinite(smallest) and not faults:
    return outcome.passed("nothing is divided by statistics")
  return outcome.first(faults, f"smallest divisor {smallest:.3g}")


def _divisor(
  spec: contract.NormSpec, rows: dict[str, np.ndarray]
) -> np.ndarray:
  if spec.mode == "mean_std":
    std = rows["std"]
    floored = np.maximum(std, spec.std_floor) + spec.epsilon
    return np.where(std < 0, -1.0, floored)
  low, high = rows.values()
  width = high - low
  return np.where(width == 0, spec.epsilon, width)


@parts.with_contract
def norm_stats_vs_reference(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: reference states and actions lie where the statistics expect them.

  Soft: values far outside, dimensions that hardly move, or relative actions
  with the statistics of absolute ones. Not checked: no reference data.
  """
  vector = found.passport.reference_test_vector
  if vector is None:
    return outcome.not_checked("there is no reference data", parts.MEASURE)
  faults = [*normalized_reference.still(found, needed)]
  faults += normalized_reference.absolute(found, needed)
  outside, faults_outside = normalized_reference.outside(found, needed, vector)
  return outcome.first([*faults, *faults_outside], outside)


CHECKS = outcome.group(
  "normalization",
  hard=(
    norm_stats_sha,
    norm_formula_known,
    norm_stats_cover_features,
    norm_stats_finite_nonzero,
    round_trip.norm_round_trip,
  ),
  soft=(norm_stats_vs_reference,),
)
