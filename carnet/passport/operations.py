"""What the operations of `carnet.passport.steps` compute, and their inverses.

Each is a function of an array module `xp`, numpy or jax.numpy: a robot runs the
first, a policy the second within `jax.jit`. The arithmetic is that of the code
that was trained, in float32. What environments do to pictures and actions they
do in numpy, where Python's floats are float64; so does this with numpy.

Measured against the code that was trained, on a CPU: jax.numpy within jax.jit
gives the same bits; numpy differs in the last bit of what it normalises (6e-8
of a picture in 0..1, before the division by a standard deviation).

Arrays have `batch_axes` leading axes. A value that an operation does not take,
such as statistics of another width, is a UserError and never passes through.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from carnet import errors
from carnet.passport import contract, normalizations, pictures, steps

Array = normalizations.Array
Block = normalizations.Block
Call = normalizations.Call
Statistics = normalizations.Statistics


def apply(
  step: steps.TransformStep, arrays: Sequence[Array], call: Call
) -> Array:
  """Returns what the step makes of its inputs: one, or those it joins.

  Raises:
    UserError: an array or statistics that it does not take.
  """
  return _run(_FORWARD, step, arrays, call)


def invert(step: steps.TransformStep, array: Array, call: Call) -> Array:
  """Returns the input of the step that leads to `array`.

  Raises:
    UserError: the step has no inverse, or does not take the array.
  """
  return _run(_INVERSE, step, (array,), call)


def has_inverse(step: steps.TransformStep) -> bool:
  """Whether `invert` undoes the step."""
  return step.op in _INVERSE


def _run(
  functions: Mapping[str, Callable[..., Array]],
  step: steps.TransformStep,
  arrays: Sequence[Array],
  call: Call,
) -> Array:
  where = f"transform_pipeline/{step.index} ({step.op})"
  if step.op not in functions:
    raise errors.UserError(f"{where} has no inverse")
  try:
    return functions[step.op](*arrays, params=step.params, call=call)
  except errors.UserError as error:
    raise errors.UserError(f"{where}: {error}") from error


def _scale(x: Array, params: steps.ScaleParams, call: Call) -> Array:
  if params.dtype is not None and str(x.dtype) != params.dtype:
    raise errors.UserError(f"takes {params.dtype}, not {x.dtype}")
  wide = normalizations.float32(x, call.xp) / np.float32(params.divisor)
  return wide + np.float32(params.offset)


def _unscale(x: Array, params: steps.ScaleParams, call: Call) -> Array:
  wide = normalizations.float32(x, call.xp) - np.float32(params.offset)
  return wide * np.float32(params.divisor)


def _symlog(x: Array, params: steps.NoParams, call: Call) -> Array:
  xp, x = call.xp, normalizations.float32(x, call.xp)
  shape = x.shape
  flat = x.reshape((*shape[: call.batch_axes], -1))
  missing = xp.any(xp.isneginf(flat), axis=-1, keepdims=True)
  zero = xp.zeros_like(flat)
  flat = xp.where(missing, zero, flat)
  return (xp.sign(flat) * xp.log1p(xp.abs(flat))).reshape(shape)


def _symexp(x: Array, params: steps.NoParams, call: Call) -> Array:
  x = normalizations.float32(x, call.xp)
  return call.xp.sign(x) * call.xp.expm1(call.xp.abs(x))


def _one_hot(x: Array, params: steps.OneHotParams, call: Call) -> Array:
  xp, x = call.xp, call.xp.asarray(x)
  if not xp.issubdtype(x.dtype, np.integer):
    raise errors.UserError(f"takes integers, not {x.dtype}")
  leading = x.shape[: call.batch_axes]
  flat = x.astype(xp.int32).reshape((*leading, -1, 1))
  classes = xp.arange(params.classes, dtype=xp.int32)
  hot = flat == classes.reshape((1,) * (flat.ndim - 1) + (-1,))
  present = xp.all(flat != -1, axis=-2, keepdims=True)
  return (hot & present).astype(xp.float32).reshape((*leading, -1))


def _concatenate(
  *arrays: Array, params: steps.ConcatenateParams, call: Call
) -> Array:
  xp = call.xp
  if params.axis == "features":
    arrays = tuple(
      normalizations.float32(x, xp).reshape((*x.shape[: call.batch_axes], -1))
      for x in arrays
    )
  shapes = {(*x.shape[:-1], str(x.dtype)) for x in arrays}
  if len(shapes) > 1 or any(x.ndim <= call.batch_axes for x in arrays):
    raise errors.UserError(
      "joins only arrays that agree in all but the last axis, not "
      + ", ".join(f"{x.dtype} {tuple(x.shape)}" for x in arrays)
    )
  return xp.concatenate(arrays, axis=-1)


def _from_bounds(x: Array, params: steps.BoundsParams, call: Call) -> Array:
  xp, bounds = call.xp, _bounds(x, params, call)
  clipped = xp.clip(x, -1.0, 1.0) if params.clip else x
  if set(params.low or ()) == {-1.0} and set(params.high or ()) == {1.0}:
    return clipped
  low, high, bounded = bounds
  scaled = (clipped + 1) / 2 * (high - low) + low
  return xp.where(bounded, scaled, x.astype(scaled.dtype))


def _to_bounds(x: Array, params: steps.BoundsParams, call: Call) -> Array:
  low, high, bounded = _bounds(x, params, call)
  x = call.xp.asarray(x).astype(low.dtype)
  return call.xp.where(bounded, 2 * (x - low) / (high - low) - 1, x)


def _bounds(
  x: Array, params: steps.BoundsParams, call: Call
) -> tuple[Array, Array, Array]:
  """Returns low, high, and where there are both, of the shape of `x`."""
  if params.low is None or params.high is None:
    raise errors.UserError("the files do not tell the bounds: train anew")
  shape = x.shape[call.batch_axes :]
  if len(params.low) not in (1, math.prod(shape)):
    raise errors.UserError(
      f"{len(params.low)} bounds for an action of shape {tuple(shape)}"
    )
  batch = (1,) * call.batch_axes

  def spread(values: Sequence[Any], kind: Any) -> Array:
    array = np.broadcast_to(np.asarray(values).ravel(), (math.prod(shape),))
    return call.xp.asarray(array.reshape((*batch, *shape)), dtype=kind)

  low = [-1.0 if bound is None else bound for bound in params.low]
  high = [1.0 if bound is None else bound for bound in params.high]
  bounded = [bound is not None for bound in params.low]
  return spread(low, float), spread(high, float), spread(bounded, bool)


def _resize(x: Array, params: contract.Resize, call: Call) -> Array:
  pictures.check(x, call.batch_axes, 3)
  return pictures.resize(x, params, call.xp)


def _gray(x: Array, params: steps.GrayParams, call: Call) -> Array:
  pictures.check(x, call.batch_axes, 3)
  return pictures.gray(x, params.weights, call.xp)


def _aggregate(x: Array, params: steps.AggregateParams, call: Call) -> Array:
  pictures.check(x, call.batch_axes, 4)
  return pictures.aggregate(x, params)


def _execute(x: Array, params: steps.ExecuteParams, call: Call) -> Array:
  """Returns the actions to execute in turn; all of them, to be averaged."""
  if x.ndim < 2 or x.shape[-2] != params.horizon:
    raise errors.UserError(
      f"takes chunks of {params.horizon} actions, not {tuple(x.shape)}"
    )
  if params.temporal_ensemble_coefficient is not None:
    return x
  return x[..., : params.n_action_steps, :]


def _repeat(x: Array, params: steps.RepeatParams, call: Call) -> Array:
  """Returns the actions of all frames, along a new axis after the batch."""
  return call.xp.stack([x] * params.times, axis=call.batch_axes)


_FORWARD: dict[str, Callable[..., Array]] = {
  "resize": _resize,
  "gray": _gray,
  "aggregate_frames": _aggregate,
  "scale": _scale,
  "standardize": normalizations.standardize,
  "unstandardize": normalizations.unstandardize,
  "to_unit_range": normalizations.to_unit_range,
  "from_unit_range": normalizations.from_unit_range,
  "symlog": _symlog,
  "one_hot": _one_hot,
  "concatenate": _concatenate,
  "from_bounds": _from_bounds,
  "execute_chunk": _execute,
  "repeat_action": _repeat,
}
_INVERSE: dict[str, Callable[..., Array]] = {
  "scale": _unscale,
  "standardize": normalizations.standardize_inverse,
  "unstandardize": normalizations.unstandardize_inverse,
  "to_unit_range": normalizations.from_unit_range,
  "from_unit_range": normalizations.to_unit_range,
  "symlog": _symexp,
  "from_bounds": _to_bounds,
}
