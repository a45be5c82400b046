"""Several updates in one compiled program.

Axes: K updates, B batch, C context steps, T trained steps.
"""

from typing import Any

import jax
from jaxtyping import Array
from ml_collections import config_dict

from dreamer import context, device_replay, learner

Tree = dict[str, Any]


def on_batches(
  config: config_dict.ConfigDict,
  spec: learner.Spec,
  graph: Any,
  state: learner.TrainState,
  found: Tree,
) -> tuple[learner.TrainState, Tree, Tree]:
  """Returns the state after K updates, their metrics [K], latents [K, B, T].

  `found` are sequences of a replay, arrays [K, B, C + T, ...].
  """

  def one(state: learner.TrainState, found: Tree) -> tuple[Any, Any]:
    state, known = _update(config, spec, graph, state, found)
    return state, (known["metrics"], _latents(known))

  if jax.tree.leaves(found)[0].shape[0] == 1:
    state, kept = one(state, jax.tree.map(lambda x: x[0], found))
    metrics, latents = jax.tree.map(lambda x: x[None], kept)
  else:
    state, (metrics, latents) = jax.lax.scan(one, state, found)
  return state, metrics, latents


def on_replay(
  config: config_dict.ConfigDict,
  spec: learner.Spec,
  graph: Any,
  state: learner.TrainState,
  replay: device_replay.DeviceReplay,
  count: int,
) -> tuple[learner.TrainState, device_replay.DeviceReplay, Tree]:
  """Returns state and replay after `count` updates, and their metrics [count].

  Sampled from, and latents written back to, memory of the device.
  """
  base = jax.random.key(config.seed + 3)
  length = config.batch_length + config.replay_context

  def one(carry: tuple[Any, Any], _: None) -> tuple[Any, Tree]:
    state, replay = carry
    key = jax.random.fold_in(base, state.step)
    found, (times, rows) = device_replay.sample(
      replay, config.batch_size, length, key
    )
    state, known = _update(config, spec, graph, state, found)
    places = (times[:, config.replay_context :], rows)
    replay = device_replay.write_back(replay, places, _latents(known))
    return (state, replay), known["metrics"]

  (state, replay), metrics = jax.lax.scan(one, (state, replay), length=count)
  return state, replay, metrics


def _update(
  config: config_dict.ConfigDict,
  spec: learner.Spec,
  graph: Any,
  state: learner.TrainState,
  found: Tree,
) -> tuple[learner.TrainState, Tree]:
  batch = context.make_batch(
    config.replay_context,
    spec.actions,
    found,
    (*spec.observations, *learner.FLAGS, "reward"),
  )
  return learner.train_step(config, spec, graph, state, batch)


def _latents(known: Tree) -> dict[str, Array]:
  latent = known["latent"]
  return {"deter": latent.deter, "stoch": latent.stoch}
