"""What the encoder sees of observations, by the code that was trained."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from carnet import checkpoint as checkpoint_lib
from carnet.envs import base
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
  seen = {
    # recorded vectors are flat
    name: jnp.asarray(observations[name]).reshape((-1, *space.shape))
    for name, space in spec.observations.items()
  }
  found = codec.prepare(seen, spec.observations)
  named = {contract.VECTOR: found.vector, contract.IMAGES: found.images}
  return jax.device_get({k: x for k, x in named.items() if x is not None})
