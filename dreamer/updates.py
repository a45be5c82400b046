"""Several updates in one compiled program.

Axes: K updates, B batch, C context steps, T trained steps.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
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

  count = jax.tree.leaves(found)[0].shape[0]
  state, (metrics, latents) = repeat(spec, one, state, found, count)
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
    found = device_replay.marked(found)
    state, known = _update(config, spec, graph, state, found)
    places = (times[:, config.replay_context :], rows)
    replay = device_replay.write_back(replay, places, _latents(known))
    return (state, replay), known["metrics"]

  (state, replay), metrics = repeat(spec, one, (state, replay), None, count)
  return state, replay, metrics


def repeat(
  spec: learner.Spec,
  step: Callable[[Any, Any], tuple[Any, Any]],
  carry: Any,
  inputs: Any,
  count: int,
) -> tuple[Any, Any]:
  """Returns what `lax.scan` does; one after another where loops are slow.

  XLA's loops on a CPU compute convolutions a hundred times slower than the same
  ones outside: one update of configs/dreamer/catch.py takes 1.06 CPU-seconds in
  a loop and 0.11 without (jax 0.10).

  Args:
    spec: tells whether there are images.
    step: as of `lax.scan`.
    carry: before the first step.
    inputs: arrays [count, ...], or None.
    count: how many steps, at least 1.
  """
  if count > 1 and not loops_are_slow(spec):
    return jax.lax.scan(step, carry, inputs, length=count)
  outputs = []
  for i in range(count):
    carry, output = step(carry, jax.tree.map(lambda x, i=i: x[i], inputs))
    outputs.append(output)
  return carry, jax.tree.map(lambda *x: jnp.stack(x), *outputs)


def loops_are_slow(spec: learner.Spec) -> bool:
  """Tells whether images are convolved on a CPU."""
  images = any(space.is_image for space in spec.observations.values())
  return images and jax.default_backend() == "cpu"


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
