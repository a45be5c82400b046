"""What the world model expects when it no longer looks: open-loop prediction.

Source: `report` of dreamerv3/agent.py. Axes: B sequences, C context steps, T
steps after the replay's context, K of them observed.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8
from ml_collections import config_dict

from dreamer import context, learner, ops

Tree = dict[str, Any]
_BORDER = 2  # pixels: green while the model sees, red once it does not
_GREEN, _RED = (0, 255, 0), (255, 0, 0)


def predict(
  config: config_dict.ConfigDict,
  spec: learner.Spec,
  graph: Any,
  params: Tree,
  found: Tree,
  observed: int,
) -> tuple[Tree, Tree]:
  """Returns predictions {key: [B, T, ...]}, and errors {key: []}.

  The first `observed` steps are reconstructions; from then on only the actions
  are known. Images are from 0 to 1, other predictions as they are decoded. The
  error is the mean square of an open-loop element (in symlog for vectors), or
  for discrete keys the share of wrong ones.

  Args:
    config: the whole configuration.
    spec: observation and action spaces.
    graph: of `learner.make_agent`.
    params: of the agent.
    found: sequences of a replay, [B, C + T, ...].
    observed: K, at least 1 and below T.
  """
  agent = learner.merge(graph, params)
  names = (*spec.observations, *learner.FLAGS, "reward")
  batch = context.make_batch(config.replay_context, spec.actions, found, names)
  actions = agent.action_vector(batch["previous_action"])
  seen_key, rest_key = jax.random.split(jax.random.key(config.seed))
  b, t = batch["is_first"].shape
  sizes = (config.rssm.stoch, config.rssm.classes)
  first = {n: x[:, :observed] for n, x in batch.items() if n in names}
  seen, _ = agent.rssm.observe(
    batch["start"],
    actions[:, :observed],
    agent.encoder(first),
    first["is_first"],
    jax.random.gumbel(seen_key, (b, observed, *sizes)),
  )
  expected, _ = agent.rssm.imagine(
    jax.tree.map(lambda x: x[:, -1], seen),
    lambda latent, action: (action, None),
    jax.random.gumbel(rest_key, (b, t - observed, *sizes)),
    actions[:, observed:],
  )
  latent = jax.tree.map(
    lambda a, b: jnp.concatenate([a, jnp.swapaxes(b, 0, 1)], 1), seen, expected
  )
  predicted = {n: one.mode() for n, one in agent.decoder(latent).items()}
  errors = {
    name: _error(spec.observations[name], value, batch[name], observed)
    for name, value in predicted.items()
  }
  return predicted, errors


def _error(space: Any, value: Array, truth: Array, observed: int) -> Array:
  value, truth = value[:, observed:], truth[:, observed:]
  if space.classes:
    return jnp.mean(jnp.float32(value != truth))
  truth = truth.astype(jnp.float32)
  target = truth / 255 if space.is_image else ops.symlog(truth)
  return jnp.mean(jnp.square(value - target))


def film(
  truth: UInt8[np.ndarray, "B T H W c"],
  predicted: Any,
  observed: int,
) -> UInt8[np.ndarray, "T h w 3"]:
  """Returns frames: what was, what was expected, and the difference.

  Rows are these three, columns the sequences. The border is green while the
  model sees and red afterwards.
  """
  real = truth.astype(np.float32) / 255
  model = np.asarray(predicted)
  difference = (model - real + 1) / 2
  rows = [_framed(x, observed) for x in (real, model, difference)]
  grid = np.concatenate([np.concatenate(list(row), 2) for row in rows], 1)
  h, w = (grid.shape[1] // 2 * 2, grid.shape[2] // 2 * 2)
  return grid[:, :h, :w]


def _framed(
  values: np.ndarray, observed: int
) -> UInt8[np.ndarray, "B T h w 3"]:
  pixels = (np.clip(values, 0, 1) * 255).astype(np.uint8)
  if pixels.shape[-1] != 3:
    pixels = np.repeat(pixels[..., :1], 3, -1)
  edge = ((0, 0), (0, 0), (_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0))
  framed = np.pad(pixels, edge)
  border = np.pad(
    np.zeros(pixels.shape[2:4], bool), _BORDER, constant_values=True
  )
  framed[:, :observed, border] = _GREEN
  framed[:, observed:, border] = _RED
  return framed
