"""Recorded updates of whole agents in our terms, and our own of the same."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import official
from flax import nnx

from dreamer import (
  behavior,
  context,
  learner,
  noise,
  optim,
  rssm,
  world_model,
)


@dataclasses.dataclass(frozen=True)
class Case:
  """An agent of the set in our terms."""

  config: ml_collections.ConfigDict
  spec: learner.Spec
  graph: nnx.GraphDef

  @functools.cached_property
  def step(self) -> Any:
    """The jitted update."""
    take = functools.partial(learner.train_step, self.config, self.spec)
    put = functools.partial(take, self.graph, sample=recorded)
    return jax.jit(put)


def recorded(policy: Any, drawn: Any) -> Any:
  """Takes the recorded actions."""
  del policy
  return drawn


@functools.cache
def case(path: str) -> Case:
  written = official.written(f"{path}/config.json")
  config = official.config_of(written["agent"])
  config.replay_context = written["replay_context"]
  spec = learner.Spec(
    official.spaces_of(written["obs_space"]),
    official.spaces_of(written["act_space"]),
  )
  return Case(config, spec, official.agent_shapes(config, *spec[:2])[0])


def fresh_state(
  one: Case, params: official.Tree, slow: official.Tree, low: Any, high: Any
) -> learner.TrainState:
  return learner.TrainState(
    step=jnp.int32(0),
    params=params,
    slow_critic=slow,
    return_range=behavior.ReturnRange(jnp.float32(low), jnp.float32(high)),
    optimizer=optim.make_optimizer(one.config.optimizer).init(params),
  )


def read_state(one: Case, data: official.Arrays) -> learner.TrainState:
  params = official.params(data, "param/")
  slow = official.nested(official.below(data, "slowval/"))
  range_of = data["retnorm/lo"], data["retnorm/hi"]
  state = fresh_state(one, params, slow, *range_of)
  clip, rms, momentum, *rest, schedule = state.optimizer
  counts = {
    name: jnp.asarray(value)
    for name, value in official.below(data, "opt/count/opt.").items()
  }
  nu, mu = (official.params(data, f"opt/{name}/") for name in ("nu", "mu"))
  optimizer = (
    clip,
    rms._replace(updates=counts["state.1.0"], nu=nu),
    momentum._replace(updates=counts["state.2.0"], mu=mu),
    *rest,
    schedule._replace(count=counts["state.3.count"]),
  )
  step = jnp.asarray(data["slowval_count"])
  return state.replace(step=step, optimizer=optimizer)


def read_batch(one: Case, data: official.Arrays) -> official.Tree:
  """Returns what the loss sees, by our context rule."""
  steps = one.config.replay_context
  names = {*one.spec.observations, *official.NOT_OBSERVED}

  def latent(prefix: str) -> rssm.Latent:
    stoch = jnp.asarray(data[f"{prefix}stoch"], jnp.float32)
    return rssm.Latent(jnp.asarray(data[f"{prefix}deter"]), stoch)

  stored = latent("data/dyn/")
  last = jax.tree.map(lambda x: x[:, -1], stored)
  carried = latent("carry_in/dyn/") if "carry_in/dyn/deter" in data else last
  return context.apply(
    steps,
    {name: jnp.asarray(data[f"data/{name}"]) for name in names},
    {name: jnp.asarray(data[f"data/{name}"]) for name in one.spec.actions},
    stored,
    jnp.asarray(data["data/consec"])[:, 0],
    carried,
  )


def read_draws(data: official.Arrays) -> noise.Draws:
  actions = official.below(data, "samples/imag_action/")
  return noise.Draws(
    noise.forced(jnp.asarray(data["samples/post_stoch"], jnp.float32)),
    noise.forced(jnp.asarray(data["samples/imag_stoch"], jnp.float32)),
    {name: jnp.asarray(value) for name, value in actions.items()},
  )


@dataclasses.dataclass(frozen=True)
class Update:
  """One recorded update, and ours of the same inputs."""

  one: Case
  before: learner.TrainState
  inputs: official.Arrays
  after: learner.TrainState
  known: official.Tree

  def theirs(self, path: str, kind: str) -> official.Arrays:
    return official.arrays(path.replace("inputs", kind))


@functools.cache
def update_of(path: str) -> Update:
  directory, file = path.split("/")
  number = int(file[len("update")])
  one = case(directory)
  old = f"update{number - 1}_state" if number > 1 else "state0"
  before = read_state(one, official.arrays(f"{directory}/{old}.npz"))
  inputs = official.arrays(path)
  batch, draws = read_batch(one, inputs), read_draws(inputs)
  after, known = one.step(before, batch, draws)
  return Update(one, before, inputs, after, jax.device_get(known))


def same_metrics(
  known: official.Tree,
  before: learner.TrainState,
  after: learner.TrainState,
  theirs: official.Arrays,
) -> None:
  """Compares every metric; those of the optimizer that only it has, by hand."""
  ours = dict(known["metrics"])
  count = sum(x.size for x in jax.tree.leaves(after.params))
  moved = jax.tree.map(jnp.subtract, after.params, before.params)
  ours["opt/param_count"] = np.float32(count)
  ours["opt/updates"] = after.step
  for name, tree in (
    ("grad", known["gradients"]),
    ("param", after.params),
    ("update", moved),
  ):
    squares = sum(np.sum(np.square(x)) for x in jax.tree.leaves(tree))
    ours[f"opt/{name}_rms"] = np.sqrt(squares / count)
  for name, value in official.below(theirs, "metrics/").items():
    rtol = official.GRADIENT if name.startswith("opt/") else official.VALUE
    if name == "opt/update_rms":  # a small difference of large numbers
      rtol = official.MOVED
    official.close(ours[name], value, rtol=rtol, name=name)


def intermediates(
  one: Case, state: learner.TrainState, batch: Any, draws: Any
) -> official.Tree:
  """Returns what the losses are made of, under the original's names."""
  agent = learner.merge(one.graph, state.params)
  slow = learner.merge(one.graph, state.params | {"critic": state.slow_critic})
  tokens = agent.encoder(batch)
  actions = agent.action_vector(batch["previous_action"])
  latent, logits = agent.rssm.observe(
    batch["start"], actions, tokens, batch["is_first"], draws.posterior
  )
  features, _, taken = world_model.imagine(
    one.config, agent, latent, draws, recorded
  )
  reward = agent.reward(features).mean()
  keep_on = agent.continuation(features).prob()
  policy, value = agent.actor(features), agent.critic(features)
  deter = features[1:, :, : latent.deter.shape[-1]]
  losses, outcome, _ = behavior.imagination_losses(
    one.config,
    taken,
    reward,
    keep_on,
    policy,
    value,
    slow.critic(features),
    state.return_range,
  )
  found = {
    "tokens": tokens,
    "post/deter": latent.deter,
    "post/logit": logits,
    "prior_logit": agent.rssm.prior(latent.deter),
    "imag/deter": deter,
    "imag/prior_logit": agent.rssm.prior(deter),
    "imag/rew": reward,
    "imag/con": keep_on,
    "imag/val": value.mean(),
    "imag/slowval": slow.critic(features).mean(),
    "imag/logpi": sum(policy[k].log_prob(taken[k]) for k in policy),
    "imag/ret": outcome.returns,
    "imag/ret_offset": outcome.range.low,
    "imag/ret_scale": outcome.range.scale(one.config.return_norm.limit),
    "repl/val": agent.critic(latent.feature).mean(),
    "repl/slowval": slow.critic(latent.feature).mean(),
    "repl/boot": outcome.returns[0].reshape(batch["is_first"].shape),
  }
  for name, values in losses.items():
    found[f"imag/loss/{name}"] = values
  for name, part in policy.items():
    found[f"imag/ent/{name}"] = part.entropy()
    for key in ("logits", "mean", "std"):
      if hasattr(part, key):
        found[f"imag/policy/{name}/{key}"] = getattr(part, key)
  for name, value in found.items():  # ours are time first
    if name.startswith("imag/") and jnp.ndim(value):
      found[name] = jnp.swapaxes(value, 0, 1)
  for name, part in agent.decoder(latent).items():
    key = "mean" if hasattr(part, "mean") else "logits"
    found[f"recon/{name}/{key}"] = getattr(part, key)
    found[f"recon_image_b0t0/{name}"] = getattr(part, key)[:1, :1]
  return found
