"""What the encoder sees of observations, by the trained code and the pipeline.

A check compares both: they must agree to rounding.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from carnet import checkpoint as checkpoint_lib
from carnet.envs import base
from carnet.passport import pipeline
from dreamer import codec, contract, environment

Arrays = dict[str, np.ndarray]


def prepared_by_code(
  directory: pathlib.Path, observations: base.Observation
) -> Arrays:
  """Returns observations [N, ...] as `dreamer.codec` prepares them.

  The keys are those of the forward graph.
  """
  spec = environment.from_json(
    checkpoint_lib.read_json(directory, "spaces.json")
  )
  seen = {k: jnp.asarray(observations[k]) for k in spec.observations}
  found = codec.prepare(seen, spec.observations)
  named = {contract.VECTOR: found.vector, contract.IMAGES: found.images}
  return jax.device_get({k: x for k, x in named.items() if x is not None})


def prepared_by_pipeline(
  directory: pathlib.Path, steps: pipeline.Steps, observations: base.Observation
) -> Arrays:
  """Returns the same by the steps of a pipeline, in numpy as on a robot."""
  keys = pipeline.inputs(steps, "pre")
  return pipeline.run(
    steps,
    "pre",
    {key: observations[key] for key in keys if key in observations},
    pipeline.statistics_in(directory),
    np,
  )
