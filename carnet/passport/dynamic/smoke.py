"""The five smoke buckets, through the policy's own entry point.

Axes: N calibration observations, D outputs.
"""

import jax
import numpy as np

from carnet.envs import base
from carnet.passport import contract, model
from carnet.passport.dynamic import subject as subject_lib

SEED = 0
_SAMPLES = 16
_RUNS = 3
# A mean of actions this many standard deviations from that of the data is no
# longer the same task; demonstrations of one task stay well within.
_ALLOWED_Z = 6.0


def run(
  subject: subject_lib.Subject, actions: contract.Actions
) -> model.SmokeResults:
  """Returns what all five buckets measured."""
  generator = np.random.default_rng(SEED)
  observation = subject.calibrate(generator, _SAMPLES)
  key = jax.random.key(SEED)
  given = subject_lib.outputs(subject, observation, key)
  real = _actions_on_frames(subject, key)
  return model.SmokeResults(
    entry_point=subject.entry_point,
    calibration_seed=SEED,
    determinism=_determinism(subject, observation, key, given),
    nan_inf=_nan_inf(subject, given),
    liveness=_liveness(subject, observation, key, given, actions),
    distribution=_distribution(subject, real, actions),
    # what noise is answered with may lie anywhere
    range_check=_range(subject.bounds, real),
  )


def _actions_on_frames(
  subject: subject_lib.Subject, key: jax.Array
) -> np.ndarray:
  """Returns actions [N, A] on real observations; on made ones without."""
  if subject.frames is None:
    made = subject.calibrate(np.random.default_rng(SEED), _SAMPLES)
    return subject_lib.ask(subject, subject.policy.init(_SAMPLES), made, key)[1]
  frames = subject.frames(_SAMPLES).observations
  batch = {k: np.stack([f[k] for f in frames]) for k in frames[0]}
  carry = subject.policy.init(len(frames))
  return subject_lib.ask(subject, carry, batch, key)[1]


def _determinism(
  subject: subject_lib.Subject,
  observation: base.Observation,
  key: jax.Array,
  given: np.ndarray,
) -> model.Determinism:
  again = [
    subject_lib.outputs(subject, observation, key) for _ in range(_RUNS - 1)
  ]
  worst = max(float(np.max(np.abs(x - given))) for x in again)
  return model.Determinism(
    n_runs=_RUNS,
    prng_seed=SEED,
    prng_impl=str(jax.random.key_impl(key)),
    max_abs_diff=worst,
    platform=jax.default_backend(),
    status="pass" if worst == 0 else "fail",
  )


def _nan_inf(subject: subject_lib.Subject, given: np.ndarray) -> model.NanInf:
  nan, inf = int(np.isnan(given).sum()), int(np.isinf(given).sum())
  return model.NanInf(
    n_values=given.size,
    n_nan=nan,
    n_inf=inf,
    checked=("actions", "carry") if subject.recurrent else ("actions",),
    status="fail" if nan or inf else "pass",
  )


def _liveness(
  subject: subject_lib.Subject,
  observation: base.Observation,
  key: jax.Array,
  given: np.ndarray,
  actions: contract.Actions,
) -> model.Liveness:
  """Exchanges one input at a time for that of another observation.

  Half of the way round: an episode of a recurrent policy sees neighbours.
  """
  sensitivity = {}
  for name, value in observation.items():
    changed = observation | {name: np.roll(value, len(value) // 2, axis=0)}
    moved = subject_lib.outputs(subject, changed, key)
    sensitivity[name] = float(np.max(np.abs(moved - given)))
  pairs = np.abs(given[:, None] - given[None]).max(axis=-1)
  apart = float(pairs[~np.eye(len(given), dtype=bool)].min())
  size = actions.dim
  spread = given[:, :size].std(axis=0)
  dead = (
    ()
    if actions.kind != "continuous"
    else tuple(int(i) for i in np.flatnonzero(spread == 0))
  )
  alive = apart > 0 and all(x > 0 for x in sensitivity.values()) and not dead
  return model.Liveness(
    n_inputs=len(given),
    min_pairwise_output_diff=apart,
    dead_output_dims=dead,
    input_sensitivity=sensitivity,
    status="pass" if alive else "fail",
  )


def _distribution(
  subject: subject_lib.Subject, found: np.ndarray, actions: contract.Actions
) -> model.Distribution:
  statistics = subject.action_statistics
  worst = None
  if statistics is not None:
    # a joint that never moved in the data has no scale of its own
    scale = np.maximum(statistics[1], 1e-2)
    worst = float(np.max(np.abs(found.mean(axis=0) - statistics[0]) / scale))
  constant = actions.kind == "continuous" and bool(np.any(found.std(0) == 0))
  sound = not constant and (worst is None or worst <= _ALLOWED_Z)
  return model.Distribution(
    n_samples=len(found),
    mean=_numbers(found.mean(axis=0)),
    std=_numbers(found.std(axis=0)),
    min=_numbers(found.min(axis=0)),
    max=_numbers(found.max(axis=0)),
    reference_mean=_numbers(statistics[0]) if statistics else None,
    reference_std=_numbers(statistics[1]) if statistics else None,
    max_z=worst,
    allowed_z=_ALLOWED_Z,
    status="pass" if sound else "fail",
  )


def _range(bounds: subject_lib.Bounds, found: np.ndarray) -> model.RangeCheck:
  below = np.maximum(bounds.low - found, 0)
  above = np.maximum(found - bounds.high, 0)
  beyond = np.maximum(below, above)
  count = int(np.sum(beyond > 0))
  return model.RangeCheck(
    bound_source=bounds.source,
    low=_numbers(bounds.low),
    high=_numbers(bounds.high),
    n_violations=count,
    worst=float(beyond.max()),
    status="fail" if count else "pass",
  )


def _numbers(values: np.ndarray) -> tuple[float, ...]:
  return tuple(float(x) for x in np.asarray(values).reshape(-1))
