"""What is inside a model, against what its code expects."""

import collections
from collections.abc import Iterable, Mapping

import jax
import numpy as np

from carnet.passport import model
from carnet.passport.dynamic import smoke
from carnet.passport.dynamic import subject as subject_lib


def state_dict(subject: subject_lib.Subject) -> model.StateDict:
  """Returns which leaves are missing, unexpected, or of another kind."""
  expected, found = subject.expected, subject.params
  both = sorted(expected.keys() & found.keys())
  return model.StateDict(
    expected_keys_count=len(expected),
    found_keys_count=len(found),
    missing_keys=tuple(sorted(expected.keys() - found.keys())),
    unexpected_keys=tuple(sorted(found.keys() - expected.keys())),
    shape_mismatch=tuple(
      path for path in both if tuple(found[path].shape) != expected[path][0]
    ),
    dtype_mismatch=tuple(
      path for path in both if found[path].dtype.name != expected[path][1]
    ),
  )


def hierarchy(paths: Iterable[str]) -> dict[str, dict[str, int]]:
  """Returns how many leaves are below each of the top two names of a model.

  The first two parts of a path are the component and the collection.
  """
  found: dict[str, dict[str, int]] = collections.defaultdict(dict)
  for path in sorted(paths):
    parts = path.split("/")[2:] or [path]
    below = parts[1] if len(parts) > 2 else "."
    counts = found[parts[0]]
    counts[below] = counts.get(below, 0) + 1
  return dict(found)


def health(subject: subject_lib.Subject) -> model.NumericalHealth:
  """Returns how two forwards with one seed differ, and what is no number."""
  observation = subject.calibrate(np.random.default_rng(smoke.SEED), 2)
  key = jax.random.key(smoke.SEED)
  first, second = (
    subject_lib.outputs(subject, observation, key) for _ in range(2)
  )
  return model.NumericalHealth(
    max_abs_diff=float(np.max(np.abs(first - second))),
    n_nan=int(np.isnan(first).sum()),
    n_inf=int(np.isinf(first).sum()),
    weights_finite=finite(subject.params),
    platform=jax.default_backend(),
  )


def finite(params: Mapping[str, np.ndarray]) -> bool:
  """Tells whether every weight is a number."""
  return all(
    bool(np.all(np.isfinite(x)))
    for x in map(np.asarray, params.values())
    if x.dtype.kind in "fc" or x.dtype.name == "bfloat16"
  )
