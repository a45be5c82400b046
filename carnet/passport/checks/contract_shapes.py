"""The contract against time, the arrays of a query, and the memory."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from carnet.passport import context, contract, outcome
from carnet.passport.checks import parts

_HAS_MEMORY = {"act": False, "dreamerv3": True}


@parts.with_contract
def delta_indices_match(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: one index an observation, rising, the last 0, as config.json has it.

  Fail: else.
  """
  where = "/input_contract/temporal/observation_delta_indices"
  temporal = needed.temporal
  indices = list(temporal.observation_delta_indices)
  faults = []
  if len(indices) != temporal.n_obs_steps:
    faults.append(
      outcome.failed(
        f"{len(indices)} indices for {temporal.n_obs_steps} observations",
        where,
        temporal.n_obs_steps,
        len(indices),
        parts.GENERATE,
      )
    )
  if indices != sorted(set(indices)) or indices[-1:] != [0]:
    faults.append(
      outcome.failed(
        f"{indices} does not rise to 0, the present",
        where,
        "rising, the last is 0",
        indices,
        parts.GENERATE,
      )
    )
  config = found.json(found.passport.provenance.config_path)
  faults += _other_times(config, temporal)
  return outcome.first(faults, f"observations at {indices}")


def _other_times(
  config: Any, temporal: contract.Temporal
) -> list[outcome.Finding]:
  """Compares with a configuration that has these entries by their names."""
  pairs = {
    "observation_delta_indices": list(temporal.observation_delta_indices),
    "n_obs_steps": temporal.n_obs_steps,
    "action_repeat": temporal.action_repeat,
  }
  if not isinstance(config, dict):
    return []
  return [
    outcome.failed(
      f"config.json has {name} {config[name]}, the passport {value}",
      f"/input_contract/temporal/{name}",
      config[name],
      value,
      parts.GENERATE,
    )
    for name, value in pairs.items()
    if config.get(name) is not None and config[name] != value
  ]


@parts.with_contract
def forward_shapes(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: the arrays of one query have the sizes of the contract. Fail: else.

  Not checked: there is no forward graph.
  """
  graph = found.passport.model_internals.forward_graph
  if graph is None:
    return outcome.not_checked("there is no forward_graph", parts.GENERATE)
  faults = _images(needed, graph.inputs)
  faults += _state(needed, graph.inputs)
  actions = needed.actions
  sizes = {actions.dim, actions.dim * actions.horizon}
  present = {name: _size(x) for name, x in graph.outputs.items()}
  if not sizes & {*present.values(), sum(present.values())}:
    faults.append(
      outcome.failed(
        f"no output has {actions.horizon} actions of {actions.dim}",
        "/model_internals/forward_graph/outputs",
        [actions.horizon, actions.dim],
        _shapes(graph.outputs),
        parts.GENERATE,
      )
    )
  return outcome.first(
    faults, f"{_shapes(graph.inputs)} -> {_shapes(graph.outputs)}"
  )


def _images(
  needed: contract.InputContract, inputs: Mapping[str, contract.Array]
) -> list[outcome.Finding]:
  faults = []
  joined = {
    (*image.shape[:2], sum(other.shape[2] for other in needed.images))
    for image in needed.images
  }
  if joined & {array.shape for array in inputs.values()}:
    return []  # side by side, as channels of one
  for index, image in enumerate(needed.images):
    array = inputs.get(image.key) or inputs.get(image.short_key)
    height, width, channels = image.shape
    steps = (needed.temporal.n_obs_steps,)
    orders: list[tuple[int, ...]] = [image.shape, (channels, height, width)]
    orders += [(*steps, *order) for order in orders]
    if array is None or array.shape not in orders:
      faults.append(
        outcome.failed(
          f"the contract has '{image.key}' as {list(image.shape)}, the model "
          f"{'has no such input' if array is None else list(array.shape)}",
          f"/input_contract/images/{index}/shape",
          _shapes(inputs),
          list(image.shape),
          parts.GENERATE,
        )
      )
  return faults


def _state(
  needed: contract.InputContract, inputs: Mapping[str, contract.Array]
) -> list[outcome.Finding]:
  state = needed.state
  if not state.dim:
    return []
  widths = {state.dim, parts.raw_width(state)}
  images = {name for x in needed.images for name in (x.key, x.short_key)}
  sizes = {n: _size(x) for n, x in inputs.items() if n not in images}
  named = {p.name for p in (*state.sub_keys, *(state.dataset_sub_keys or ()))}
  joined = sum(size for name, size in sizes.items() if name in named)
  if widths & {joined, sum(sizes.values()), *sizes.values()}:
    return []
  return [
    outcome.failed(
      f"the contract's state has {state.dim} dimensions, no input has",
      "/input_contract/state/dim",
      _shapes(inputs),
      state.dim,
      parts.GENERATE,
    )
  ]


@parts.with_contract
def carry_matches(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: a memory is described where the family has one. Fail: else.

  A described memory has arrays of known dtypes, a flag that makes it forget,
  and was looked at by the smoke test for values that are no numbers.
  """
  where = "/input_contract/recurrent"
  memory = needed.recurrent
  family = found.passport.family
  wanted = _HAS_MEMORY.get(family, memory is not None)
  if wanted != (memory is not None):
    return outcome.failed(
      f"a policy of '{family}' {'has' if wanted else 'has no'} memory",
      where,
      "an object" if wanted else "null",
      "null" if wanted else "an object",
      parts.GENERATE,
    )
  if memory is None:
    return outcome.passed("no memory between steps")
  faults = [
    outcome.failed(f"'{name}' is of no known dtype", where, found=array.dtype)
    for name, array in memory.carry_spec.items()
    if not _is_dtype(array.dtype)
  ]
  if not memory.carry_spec:
    faults.append(outcome.failed("a memory without arrays", where))
  smoke = found.passport.output_spec.smoke_results
  if smoke and not any("carry" in name for name in smoke.nan_inf.checked):
    faults.append(
      outcome.failed(
        "nobody looked for NaN in the memory",
        "/output_spec/smoke_results/nan_inf/checked",
        "carry",
        list(smoke.nan_inf.checked),
        parts.MEASURE,
      )
    )
  total = sum(map(_size, memory.carry_spec.values()))
  return outcome.first(
    faults, f"{len(memory.carry_spec)} arrays, {total} numbers"
  )


@parts.with_contract
def state_dim_consistency(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: the network sees as many numbers as the data has.

  Soft: other counts, as where rotations or classes are expanded; expected
  then, say so in the reason of the sign-off.
  """
  raw = parts.raw_width(needed.state)
  if raw == needed.state.dim:
    return outcome.passed(f"{raw} numbers in both")
  return outcome.failed(
    f"the data has {raw} numbers, the network sees {needed.state.dim}",
    "/input_contract/state/dim",
    raw,
    needed.state.dim,
    "expected where rotations or classes are expanded: accept it with "
    "sign-checkpoint --reason",
  )


def _size(array: contract.Array) -> int:
  return math.prod(array.shape)


def _shapes(arrays: Mapping[str, contract.Array]) -> str:
  rows: Collection[str] = [f"{n} {list(x.shape)}" for n, x in arrays.items()]
  return ", ".join(rows)


def _is_dtype(name: str) -> bool:
  if name == "bfloat16":
    return True
  try:
    return np.dtype(name).kind in "biufc"
  except TypeError:
    return False
