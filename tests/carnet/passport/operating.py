"""Steps of a pipeline, made and run without a checkpoint."""

import numpy as np

from carnet.passport import contract, operations, steps

BLOCK = {
  "mean": [1.0, 5.0],
  "std": [2.0, 0.001],
  "min": [-1.0, 5.0],
  "max": [3.0, 5.0],
  "q01": [0.0, 4.0],
  "q99": [2.0, 6.0],
  "q10": [0.5, 5.0],
  "q90": [1.5, 5.5],
}
PIN = contract.Fingerprint(file="stats.json", key="x", file_sha256="0" * 64)
KINDS = {
  "resize": steps.Resize,
  "gray": steps.Gray,
  "aggregate_frames": steps.Aggregate,
  "scale": steps.Scale,
  "standardize": steps.Standardize,
  "unstandardize": steps.Unstandardize,
  "to_unit_range": steps.ToUnitRange,
  "from_unit_range": steps.FromUnitRange,
  "symlog": steps.Symlog,
  "one_hot": steps.OneHot,
  "concatenate": steps.Concatenate,
  "from_bounds": steps.FromBounds,
  "execute_chunk": steps.Execute,
  "repeat_action": steps.Repeat,
}
MOMENTS = steps.StandardizeParams(statistics=PIN, std_floor=0.01, epsilon=0.5)
RANGE = steps.RangeParams(statistics=PIN, low="min", high="max", epsilon=0.25)


def make(op, params):
  return KINDS[op](
    index=0,
    stage="pre",
    input_key="x",
    output_key="y",
    invertible=False,
    code_ref="here:here",
    op=op,
    params=params,
  )


def call(xp=np, block=None, batch_axes=1):
  block = BLOCK if block is None else block
  return operations.Call(lambda file, key: block, xp, batch_axes)


def apply(op, params, *arrays, **options):
  return operations.apply(make(op, params), arrays, call(**options))


def invert(op, params, array, **options):
  return operations.invert(make(op, params), array, call(**options))


def bounds(low, high, clip=True):
  return steps.BoundsParams(low=low, high=high, clip=clip)


def row(*values, dtype=np.float32):
  return np.array([values], dtype)
