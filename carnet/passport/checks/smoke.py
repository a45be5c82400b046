"""The five smoke buckets, as recorded.

What is recorded is a claim: its numbers must agree with its status, with each
other, and with the contract. `--rerun` measures again.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from carnet.passport import context, model, outcome
from carnet.passport.checks import parts, smoke_bounds

_FEWEST_RUNS = 2
# a joint that never moved in the data has no scale of its own
SMALLEST_SCALE = 1e-2
LARGEST_Z = 10.0  # a larger promise is none
_Faults = Iterator[tuple[str, object, object, str]]
_Bucket = Callable[[context.Context, model.SmokeResults], _Faults]


def smoke_determinism(found: context.Context) -> outcome.Finding:
  """Pass: the same input gave the same output, exactly on a CPU. Fail: else.

  Not checked: nothing is recorded.
  """
  return _bucket(found, "determinism", _determinism)


def smoke_nan_inf(found: context.Context) -> outcome.Finding:
  """Pass: all outputs are numbers. Fail: else.

  Not checked: nothing is recorded.
  """
  return _bucket(found, "nan_inf", _nan_inf)


def smoke_liveness(found: context.Context) -> outcome.Finding:
  """Pass: every camera and the state move the output.

  Fail: an input is ignored, or an output never changes. Not checked: nothing
  is recorded.
  """
  return _bucket(found, "liveness", _liveness)


def smoke_distribution(found: context.Context) -> outcome.Finding:
  """Pass: outputs vary about where the actions of the data do. Fail: else.

  Not checked: nothing is recorded.
  """
  return _bucket(found, "distribution", _distribution)


def smoke_range_check(found: context.Context) -> outcome.Finding:
  """Pass: no output left bounds that the contract or the data give.

  Fail: else. Not checked: nothing is recorded.
  """
  return _bucket(found, "range_check", smoke_bounds.faults)


def z_score(
  mean: Sequence[float],
  reference_mean: Sequence[float],
  reference_std: Sequence[float],
) -> float:
  """Returns how far means are apart, in deviations of the reference at most."""
  away = np.abs(np.asarray(mean) - np.asarray(reference_mean))
  scale = np.maximum(np.asarray(reference_std), SMALLEST_SCALE)
  return float(np.max(away / scale, initial=0.0))


def _bucket(found: context.Context, name: str, run: _Bucket) -> outcome.Finding:
  smoke = found.passport.output_spec.smoke_results
  if smoke is None:
    return outcome.not_checked("nothing is recorded", parts.MEASURE)
  where = f"/output_spec/smoke_results/{name}"
  row = getattr(smoke, name)
  faults = [
    outcome.failed(why, f"{where}/{field}", expected, present, parts.MEASURE)
    for field, expected, present, why in run(found, smoke)
  ]
  if row.status == "fail":
    recorded = outcome.failed(
      "recorded as failed", f"{where}/status", "pass", "fail", parts.MEASURE
    )
    faults = [recorded, *faults]
  return outcome.first(faults, _summary(row))


def _summary(row: object) -> str:
  match row:
    case model.Determinism():
      return (
        f"{row.n_runs} runs on {row.platform} differ by {row.max_abs_diff:g}"
      )
    case model.NanInf():
      return f"{row.n_values} numbers of {', '.join(row.checked)}"
    case model.Liveness():
      rows = [f"{k} {x:.3g}" for k, x in row.input_sensitivity.items()]
      return f"output moves by: {', '.join(rows)}"
    case model.Distribution():
      z = "no reference" if row.max_z is None else f"z at most {row.max_z:.3g}"
      return f"{row.n_samples} samples, {z}"
    case model.RangeCheck():
      return f"all within {row.bound_source}"
  raise TypeError(type(row))


def _determinism(found: context.Context, smoke: model.SmokeResults) -> _Faults:
  row = smoke.determinism
  limit = 0.0 if row.platform == "cpu" else row.allowed
  if not 0 <= row.max_abs_diff <= limit:
    why = f"runs differ by {row.max_abs_diff:g} on {row.platform}"
    yield "max_abs_diff", f"at most {limit:g}", row.max_abs_diff, why
  if not 0 <= row.allowed <= smoke_bounds.LARGEST_DIFFERENCE:
    yield "allowed", "near 0", row.allowed, "the allowance promises nothing"
  if row.n_runs < _FEWEST_RUNS:
    why = f"{row.n_runs} run compares nothing"
    yield "n_runs", f"at least {_FEWEST_RUNS}", row.n_runs, why
  constraints = found.passport.model_identity.runtime_constraints
  config = constraints.jax_config if constraints else None
  if config is not None and row.prng_impl not in _same(config.prng_impl):
    why = f"measured with '{row.prng_impl}', required is '{config.prng_impl}'"
    yield "prng_impl", config.prng_impl, row.prng_impl, why


def _same(prng: str) -> tuple[str, ...]:
  """Returns the names that JAX has for a generator of random numbers."""
  short = {"threefry2x32": "fry"}.get(prng, prng)
  return prng, short, f"key<{short}>"


def _nan_inf(found: context.Context, smoke: model.SmokeResults) -> _Faults:
  row = smoke.nan_inf
  for name in ("n_nan", "n_inf"):
    count = getattr(row, name)
    if count:
      yield name, 0, count, f"{count} of {row.n_values} are no numbers"
  if not row.n_values or not row.checked:
    yield "n_values", "above 0", row.n_values, "nothing was looked at"


def _liveness(found: context.Context, smoke: model.SmokeResults) -> _Faults:
  row, needed = smoke.liveness, found.passport.input_contract
  if row.n_inputs < 2:
    yield "n_inputs", "at least 2", row.n_inputs, "one input compares nothing"
  if not row.min_pairwise_output_diff > 0:
    why = "different inputs give the same output"
    yield (
      "min_pairwise_output_diff",
      "above 0",
      row.min_pairwise_output_diff,
      why,
    )
  for name, moved in row.input_sensitivity.items():
    if not moved > 0:
      yield "input_sensitivity", "above 0", moved, f"'{name}' is ignored"
  if needed is None:
    return
  dead = list(row.dead_output_dims)
  constant = (
    needed.actions.kind == "continuous" or len(dead) == needed.actions.dim
  )
  if dead and constant:
    yield "dead_output_dims", "none", dead, f"outputs {dead} never change"
  seen, cameras = set(row.input_sensitivity), set[str]()
  for image in needed.images:
    cameras |= {image.key, image.short_key}
    if not seen & {image.key, image.short_key}:
      why = f"nobody tried whether '{image.key}' is looked at"
      yield "input_sensitivity", image.key, sorted(seen), why
  if needed.state.dim and not seen - cameras:
    why = "nobody tried whether the state is looked at"
    yield "input_sensitivity", "state", sorted(seen), why


def _distribution(found: context.Context, smoke: model.SmokeResults) -> _Faults:
  row, needed = smoke.distribution, found.passport.input_contract
  rows = {n: getattr(row, n) for n in ("mean", "std", "min", "max")}
  rows |= {
    name: getattr(row, name)
    for name in ("reference_mean", "reference_std")
    if getattr(row, name) is not None
  }
  width = needed.actions.dim if needed else len(row.mean)
  uneven = [name for name, values in rows.items() if len(values) != width]
  if uneven:
    name = uneven[0]
    why = f"{name} has {len(rows[name])} numbers for {width} actions"
    yield name, width, len(rows[name]), why
    return
  yield from _moments(
    row, needed is None or needed.actions.kind == "continuous"
  )
  yield from _distance(row)
  yield from _other_data(found, row)


def _moments(row: model.Distribution, continuous: bool) -> _Faults:
  low, mean, high = (np.asarray(x) for x in (row.min, row.mean, row.max))
  slack = 1e-5 * (1 + np.abs(mean))
  disordered = (low > mean + slack) | (mean > high + slack)
  if disordered.any():
    dim = int(np.flatnonzero(disordered)[0])
    why = f"min, mean and max of output {dim} are not in order"
    yield f"mean/{dim}", f"{low[dim]:g}..{high[dim]:g}", mean[dim], why
  still = np.flatnonzero(~(np.asarray(row.std) > 0)).tolist()
  if still and (continuous or len(still) == len(row.std)):
    yield f"std/{still[0]}", "above 0", 0, f"outputs {still[:8]} never change"


def _distance(row: model.Distribution) -> _Faults:
  mean, std = row.reference_mean, row.reference_std
  if (mean is None) != (std is None) or (mean is None) != (row.max_z is None):
    yield "max_z", "all or none", row.max_z, "a reference is recorded in part"
    return
  if not 0 < row.allowed_z <= LARGEST_Z:
    why = f"allowed_z {row.allowed_z:g} promises nothing"
    yield "allowed_z", f"at most {LARGEST_Z:g}", row.allowed_z, why
  if mean is None or std is None or row.max_z is None:
    return
  distance = z_score(row.mean, mean, std)
  if distance > row.allowed_z * 1.001:
    why = f"means are {distance:.3g} deviations from those of the data"
    yield "max_z", f"at most {row.allowed_z:g}", row.max_z, why
  elif not np.isclose(distance, row.max_z, rtol=1e-3, atol=1e-3):
    why = f"max_z is {row.max_z:.4g}, its means give {distance:.4g}"
    yield "max_z", f"{distance:.4g}", row.max_z, why


def _other_data(found: context.Context, row: model.Distribution) -> _Faults:
  """Compares the reference with the statistics that actions are made with."""
  recorded = {"mean": row.reference_mean, "std": row.reference_std}
  for name, values in smoke_bounds.statistics(found, *recorded).items():
    present = np.asarray(recorded[name] or ())
    if present.size and not (
      present.shape == values.shape and np.allclose(present, values, rtol=1e-4)
    ):
      why = f"the reference {name} is not that of the statistics file"
      yield f"reference_{name}", values.tolist(), present.tolist(), why


CHECKS = outcome.group(
  "smoke",
  hard=(
    smoke_determinism,
    smoke_nan_inf,
    smoke_liveness,
    smoke_distribution,
    smoke_range_check,
  ),
)
