"""The transform pipeline, executed: from sensor to model, from model to action.

A step takes keys of a dictionary of arrays and puts one. What lies outside the
policy (`executed_by` "environment") comes before all of its steps on the way
in, and after them on the way out.
"""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np

from carnet import errors
from carnet.passport import context, operations
from carnet.passport import steps as steps_lib

Steps = Sequence[steps_lib.TransformStep]
Stage = Literal["pre", "post"]
Executor = Literal["policy", "environment"]


def run(
  steps: Steps,
  stage: Stage,
  values: Mapping[str, operations.Array],
  statistics: operations.Statistics,
  xp: ModuleType,
  *,
  batch_axes: int = 1,
  executed_by: Executor = "policy",
) -> dict[str, operations.Array]:
  """Returns what the steps of a stage make of `values`.

  Args:
    steps: the whole pipeline.
    stage: "pre" leads to the model, "post" from it to the command.
    values: arrays by key, [*batch, ...].
    statistics: (file, key) -> numbers; see `statistics_in`.
    xp: numpy, or jax.numpy, also within `jax.jit`.
    batch_axes: how many axes lead every array.
    executed_by: whose steps.

  Raises:
    UserError: the pipeline is unsound, a key is missing or read by no step, or
      an array or statistics are not what a step takes.
  """
  check(steps)
  _check_given(values, inputs(steps, stage, executed_by))
  call = operations.Call(statistics, xp, batch_axes)
  held = dict(values)
  for step in of(steps, stage, executed_by):
    arrays = [held[key] for key in reads(step)]
    held[step.output_key] = operations.apply(step, arrays, call)
  return {key: held[key] for key in outputs(steps, stage, executed_by)}


def of(
  steps: Steps, stage: Stage, executed_by: Executor = "policy"
) -> tuple[steps_lib.TransformStep, ...]:
  """Returns the steps of a stage that one side executes."""
  return tuple(
    step
    for step in steps
    if (step.stage, step.executed_by) == (stage, executed_by)
  )


def reads(step: steps_lib.TransformStep) -> tuple[str, ...]:
  """Returns the keys that a step takes; of a group, those that it joins."""
  return step.params.keys if step.op == "concatenate" else (step.input_key,)


def inputs(
  steps: Steps, stage: Stage, executed_by: Executor = "policy"
) -> tuple[str, ...]:
  """Returns the keys that `run` wants, in the order of the steps."""
  wanted: dict[str, None] = {}
  made = set()
  for step in of(steps, stage, executed_by):
    wanted |= dict.fromkeys(key for key in reads(step) if key not in made)
    made.add(step.output_key)
  return tuple(wanted)


def outputs(
  steps: Steps, stage: Stage, executed_by: Executor = "policy"
) -> tuple[str, ...]:
  """Returns the keys that `run` gives: made, and read by no later step.

  Raises:
    UserError: something is made twice, and the first is never read.
  """
  left: dict[str, None] = {}
  for step in of(steps, stage, executed_by):
    for key in reads(step):
      left.pop(key, None)
    if step.output_key in left:
      raise errors.UserError(
        f"{_where(step)} writes over '{step.output_key}', which no step has "
        "read"
      )
    left[step.output_key] = None
  return tuple(left)


def only(steps: Steps, op: str) -> steps_lib.TransformStep | None:
  """Returns the step of an operation, None where there is none.

  Raises:
    UserError: there are several.
  """
  found = [step for step in steps if step.op == op]
  if len(found) > 1:
    raise errors.UserError(
      f"transform_pipeline has {len(found)} steps of '{op}': at most one"
    )
  return found[0] if found else None


def check(steps: Steps) -> None:
  """Raises UserError for a pipeline whose steps are not in order.

  Indices count from 0, "pre" is before "post", and what the environment does
  is at both ends.
  """
  ranks = {
    ("pre", "environment"): 0,
    ("pre", "policy"): 1,
    ("post", "policy"): 2,
    ("post", "environment"): 3,
  }
  highest = 0
  for index, step in enumerate(steps):
    if step.index != index:
      raise errors.UserError(
        f"{_where(step)} has index {step.index} in place {index}: steps are "
        "counted from 0, in the order of execution"
      )
    rank = ranks[step.stage, step.executed_by]
    if rank < highest:
      raise errors.UserError(
        f"{_where(step)} is of {step.stage}/{step.executed_by}, which is over "
        "by then: environment, policy, model, policy, environment"
      )
    highest = rank


def statistics_from(read: Callable[[str], Any]) -> operations.Statistics:
  """Returns the loader of statistics out of JSON documents.

  Args:
    read: the name of a file -> its value, None where there is none.
  """
  cached = functools.cache(read)

  def load(file: str, key: str) -> operations.Block:
    document = cached(file)
    if not isinstance(document, dict):
      raise errors.UserError(f"{file} is no JSON object with statistics")
    if key not in document:
      raise errors.unknown(
        f"feature in {file}, no statistics of", key, document
      )
    if not isinstance(document[key], dict):
      raise errors.UserError(f"{file}/{key} is no JSON object of numbers")
    return document[key]

  return load


def statistics_in(directory: pathlib.Path) -> operations.Statistics:
  """Returns the loader of statistics out of a checkpoint's files."""
  return statistics_from(context.Context(directory).json)


def prepare(
  directory: pathlib.Path, steps: Steps, observations: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns what the network gets of observations [N, ...], in numpy.

  This is what a robot runs. Keys that no step reads are left out.

  Raises:
    UserError: as `run`.
  """
  keys = inputs(steps, "pre")
  given = {key: observations[key] for key in keys if key in observations}
  return run(steps, "pre", given, statistics_in(directory), np)


def _check_given(
  values: Mapping[str, operations.Array], wanted: Sequence[str]
) -> None:
  lacking = [key for key in wanted if key not in values]
  if lacking:
    raise errors.UserError(
      f"transform_pipeline wants {', '.join(lacking)}; there are "
      f"{', '.join(values) or 'none'}"
    )
  for key in values:
    if key not in wanted:
      raise errors.unknown("key, no step takes", key, wanted)


def _where(step: steps_lib.TransformStep) -> str:
  return f"transform_pipeline/{step.index} ({step.op})"
