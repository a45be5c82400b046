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
from carnet.passport import pipeline
from dreamer import codec, contract, learner, noise, rssm

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
  steps: pipeline.Steps | None = None,
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
    steps: the transform pipeline that prepares observations; None is the code
      that training uses.
  """
  agent = learner.merge(graph, params)
  latent_key, action_key = jax.random.split(key)
  count = is_first.shape[0]
  latent, _ = agent.rssm.observe_step(
    carry.latent,
    agent.action_vector(carry.action),
    agent.encoder.encode(_prepare(spec, observation, steps)),
    is_first,
    jax.random.gumbel(latent_key, carry.latent.stoch.shape),
  )
  choices = agent.actor(latent.feature)
  if actions == "mode":
    return Carry(latent, {name: one.mode() for name, one in choices.items()})
  drawn = noise.draw_actions(spec.actions, (count,), action_key)
  return Carry(latent, noise.sample_actions(choices, drawn))


def _prepare(
  spec: learner.Spec, observation: Tree, steps: pipeline.Steps | None
) -> codec.Prepared:
  if steps is None:
    return codec.prepare(observation, spec.observations)
  keys = pipeline.inputs(steps, "pre")
  found = pipeline.run(
    steps,
    "pre",
    {name: observation[name] for name in keys},
    pipeline.statistics_from(lambda file: None),  # nothing is normalised so
    jnp,
  )
  return codec.Prepared(found.get(contract.VECTOR), found.get(contract.IMAGES))


def check_steps(steps: pipeline.Steps, spec: learner.Spec) -> None:
  """Raises UserError unless the pipeline leads to the encoder.

  Actions are scaled by the environment: no step of the policy follows it.
  """
  pipeline.check(steps)
  vectors = codec.vectors_of(spec.observations)
  wanted = {contract.VECTOR} if vectors else set()
  if codec.images_of(spec.observations):
    wanted.add(contract.IMAGES)
  found = pipeline.outputs(steps, "pre")
  if set(found) != wanted:
    raise errors.UserError(
      f"transform_pipeline gives the encoder {', '.join(found) or 'nothing'} "
      f"instead of {', '.join(sorted(wanted))}"
    )
  if after := pipeline.of(steps, "post"):
    raise errors.UserError(
      f"transform_pipeline/{after[0].index} ({after[0].op}) is a step of the "
      "policy after the actor, whose actions the environment scales"
    )


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
    steps: pipeline.Steps | None = None,
  ) -> None:
    """`steps` is the transform pipeline, None the code that training uses.

    Raises:
      UserError: the pipeline does not lead to these networks, or there is no
        such way to act.
    """
    if steps is not None:
      check_steps(steps, spec)
    if actions not in ACTIONS:
      raise errors.unknown("way to act", actions, ACTIONS)
    self._config, self._spec, self._params = config, spec, params
    self._act = jax.jit(
      functools.partial(act, config, spec, graph, actions=actions, steps=steps)
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
