"""What the network sees of the reference frames: by pipeline, and by code.

A family's own code is `prepared_by_code(directory, observations)` of the module
`subject` beside the one that describes its checkpoints. It is imported when a
check that was asked to run it does; no checkpoint can name it.
"""

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from carnet import errors
from carnet.passport import (
  chains,
  context,
  contract,
  family,
  history,
  pipeline,
  reference_data,
)

Arrays = dict[str, np.ndarray]
Code = Callable[[Arrays], Mapping[str, np.ndarray]]
# numpy differs from the compiled code in the last bit or two of float32
RELATIVE, ABSOLUTE = 1e-5, 1e-5


def by_code(found: context.Context) -> Code | None:
  """Returns what a family's code makes of observations; None if it is absent.

  This imports the policy's own packages.
  """
  config = found.json(found.passport.provenance.config_path)
  agent = config.get("agent") if isinstance(config, dict) else None
  for entry in family.entries(family.GROUP):
    if entry.name == agent:
      package = entry.module.rpartition(".")[0]
      try:
        module = importlib.import_module(f"{package}.subject")
      except ImportError:
        return None
      return functools.partial(module.prepared_by_code, found.path)
  return None


def observations(
  found: context.Context,
  needed: contract.InputContract,
  vector: history.ReferenceVector,
) -> Arrays:
  """Returns the reference data as the policy takes them, [F, ...] by key.

  Raises:
    UserError: a file is missing or damaged, or states cannot be taken apart.
  """
  listed = found.passport.transform_pipeline
  arrays: Arrays = {
    image.key: reference_data.frames(found, vector, image)
    for image in needed.images
  }
  keys = chains.vector_keys(listed, needed.images)
  if keys and vector.input_state_path:
    states = reference_data.matrix(found, vector.input_state_path)
    arrays |= _split(listed, needed.state, keys, states)
  return arrays


def by_pipeline(found: context.Context, observed: Arrays) -> Arrays:
  """Returns what the policy's steps of the pipeline make of observations.

  Raises:
    UserError: they do not take these arrays.
  """
  listed = found.passport.transform_pipeline
  statistics = pipeline.statistics_from(found.json)
  return pipeline.run(listed, "pre", observed, statistics, np)


def compare(found: context.Context, code: Code) -> Iterator[tuple[str, str]]:
  """Yields (key, how the pipeline's array differs from the code's).

  Raises:
    UserError: there is no reference data that the pipeline takes.
  """
  needed = found.passport.input_contract
  vector = found.passport.reference_test_vector
  if needed is None or vector is None:
    raise errors.UserError("there is no contract, or no reference data")
  observed = observations(found, needed, vector)
  ours = by_pipeline(found, observed)
  theirs = code(observed)
  for key in sorted({*ours, *theirs}):
    if key not in ours or key not in theirs:
      maker = "the code" if key in theirs else "the pipeline"
      yield key, f"only {maker} makes '{key}'"
      continue
    one, other = np.asarray(ours[key]), np.asarray(theirs[key])
    if one.shape != other.shape or one.dtype != other.dtype:
      yield (
        key,
        f"'{key}' is {one.dtype} {list(one.shape)} by the pipeline, "
        f"{other.dtype} {list(other.shape)} by the code",
      )
    elif not np.allclose(one, other, rtol=RELATIVE, atol=ABSOLUTE):
      away = float(np.max(np.abs(one.astype(float) - other.astype(float))))
      yield key, f"'{key}' differs by {away:.3g} at most"


def _split(
  listed: chains.Steps,
  state: contract.State,
  keys: tuple[str, ...],
  states: np.ndarray,
) -> Arrays:
  """Takes the recorded vectors apart, in the order of the contract."""
  layout = {
    part.name: slice(part.start, part.stop)
    for part in state.dataset_sub_keys or state.sub_keys
  }
  if len(keys) == 1 and keys[0] not in layout:
    layout = {keys[0]: slice(None)}
  absent = [key for key in keys if key not in layout]
  if absent or states.ndim != 2:
    raise errors.UserError(
      f"the contract does not tell where {', '.join(absent) or 'states'} lie "
      f"in {list(states.shape)}"
    )
  arrays = {}
  for key in keys:
    part = states[:, layout[key]]
    first = chains.of(listed, "pre", key)[0]
    arrays[key] = (
      part.astype(np.int32)
      if first.op == "one_hot"
      else part.astype(np.float32)
    )
  return arrays
