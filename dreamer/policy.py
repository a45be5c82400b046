"""Acting: the world model follows, the actor chooses.

Source: `policy` of dreamerv3/agent.py. Axes: N environments.
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool
from ml_collections import config_dict

from carnet import errors
from carnet.envs import base
from dreamer import learner, noise, rssm

Tree = dict[str, Any]
ACTIONS = ("sample", "mode")


@flax.struct.dataclass
class Carry:
  """What acting remembers: the latent after an observation, and the action.

  latent: [N, ...]; action: {key: [N, ...]}, as the agent gave it.
  """

  latent: Any
  action: Any


def initial(
  config: config_dict.ConfigDict, spec: learner.Spec, count: int
) -> Carry:
  """Returns the carry before `count` episodes: zeros."""
  action = {
    name: jnp.zeros((count, *space.shape), space.dtype)
    for name, space in spec.actions.items()
  }
  return Carry(rssm.initial(config.rssm, count), action)


def act(
  config: config_dict.ConfigDict,
  spec: learner.Spec,
  graph: Any,
  params: Tree,
  carry: Carry,
  observation: Tree,
  is_first: Bool[Array, " N"],
  key: jax.Array,
  actions: str = "sample",
) -> Carry:
  """Returns the carry after an observation, with the action to take.

  Args:
    config: the whole configuration.
    spec: observation and action spaces.
    graph: of `learner.make_agent`.
    params: of the agent.
    carry: of the step before.
    observation: {key: [N, ...]}; other keys are ignored.
    is_first: where an episode begins; its carry counts as zeros.
    key: for the latent and the action.
    actions: "sample", as the original also evaluates (its `mode='eval'`
      changes nothing), or "mode", the likeliest.
  """
  agent = learner.merge(graph, params)
  latent_key, action_key = jax.random.split(key)
  count = is_first.shape[0]
  seen = {name: observation[name] for name in spec.observations}
  latent, _ = agent.rssm.observe_step(
    carry.latent,
    agent.action_vector(carry.action),
    agent.encoder(seen),
    is_first,
    jax.random.gumbel(latent_key, carry.latent.stoch.shape),
  )
  choices = agent.actor(latent.feature)
  if actions == "mode":
    return Carry(latent, {name: one.mode() for name, one in choices.items()})
  drawn = noise.draw_actions(spec.actions, (count,), action_key)
  return Carry(latent, noise.sample_actions(choices, drawn))


def record(carry: Carry) -> Tree:
  """Returns what a replay keeps of acting: latents and "action/<key>"."""
  kept = {f"action/{name}": x for name, x in carry.action.items()}
  stoch = carry.latent.stoch.astype(jnp.uint8)  # one-hot
  return kept | {"deter": carry.latent.deter, "stoch": stoch}


def example(
  config: config_dict.ConfigDict, spec: learner.Spec, count: int
) -> Tree:
  """Returns a step as a replay keeps it: zeros."""
  step = {
    name: np.zeros((count, *space.shape), space.dtype)
    for name, space in spec.observations.items()
  }
  step |= {name: np.zeros(count, bool) for name in learner.FLAGS}
  step["reward"] = np.zeros(count, np.float32)
  return step | record(initial(config, spec, count))


def bare(action: Tree) -> Any:
  """Returns the action as environments take it: an only "action" alone."""
  return action["action"] if list(action) == ["action"] else action


def to_env(action: Tree) -> base.Action:
  """Returns `bare` of the action on the host."""
  return bare({name: np.asarray(x) for name, x in action.items()})


class Policy:
  """DreamerV3 as `carnet.rollout.Policy`."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    spec: learner.Spec,
    graph: Any,
    params: Tree,
    actions: str = "sample",
  ) -> None:
    if actions not in ACTIONS:
      raise errors.unknown("way to act", actions, ACTIONS)
    self._config, self._spec, self._params = config, spec, params
    self._act = jax.jit(
      functools.partial(act, config, spec, graph, actions=actions)
    )

  def use(self, params: Tree) -> None:
    """Acts with other parameters from now on, without compiling again."""
    self._params = params

  def init(self, batch_size: int) -> tuple[Carry, bool]:
    """Returns the carry before episodes, and that they begin."""
    return initial(self._config, self._spec, batch_size), True

  def needs_observation(self, carry: tuple[Carry, bool]) -> bool:
    """True: the world model follows every step."""
    return True

  def act(
    self,
    carry: tuple[Carry, bool],
    observation: base.Observation | None,
    key: jax.Array,
  ) -> tuple[tuple[Carry, bool], base.Action]:
    """Returns the next carry and actions [N, ...]."""
    if observation is None:
      raise ValueError("act needs an observation")
    before, begins = carry
    count = before.latent.deter.shape[0]
    after = self._act(
      self._params, before, observation, np.full(count, begins), key
    )
    return (after, False), to_env(after.action)
