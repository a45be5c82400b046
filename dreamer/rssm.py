"""The recurrent state-space model: what happened, and what would happen.

Source: dreamerv3/rssm.py of danijar/dreamerv3 (class RSSM). Axes: B batch,
T time, D recurrent state, S categoricals of C classes, E tokens, A action.
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float
from ml_collections import config_dict

from dreamer import distributions, nets, products

Times = Callable[[str, Array], Array]  # (name, x) -> x times that kernel


@flax.struct.dataclass
class Latent:
  """The state of the world model: `deter` [..., D], `stoch` [..., S, C]."""

  deter: Any
  stoch: Any

  @property
  def feature(self) -> Float[Array, "*s F"]:
    """What all heads see: deter, then stoch flattened."""
    return jnp.concatenate([self.deter, _flat(self.stoch)], axis=-1)


def initial(config: config_dict.ConfigDict, batch: int) -> Latent:
  """Returns the state before an episode: zeros. `config` is `config.rssm`."""
  return Latent(
    jnp.zeros((batch, config.deter), jnp.float32),
    jnp.zeros((batch, config.stoch, config.classes), jnp.float32),
  )


class RSSM(nnx.Module):
  """A block GRU with categorical latents, a prior and a posterior."""

  dynhid0: nets.BlockLinear
  dynhid0norm: nets.RMSNorm

  def __init__(
    self,
    config: config_dict.ConfigDict,
    action_size: int,
    token_size: int,
    rngs: nnx.Rngs,
  ) -> None:
    """`config` is `config.rssm`; sizes are of the action vector and tokens."""
    self._blocks, self._unimix = config.blocks, config.unimix
    self._deter, self._hidden = config.deter, config.hidden
    self._stoch, self._classes = config.stoch, config.classes
    self._layers = (config.dynlayers, config.imglayers, config.obslayers)
    deter, hidden = config.deter, config.hidden
    sizes = (deter, config.stoch * config.classes, action_size)
    for i, size in enumerate(sizes):
      self._add(f"dynin{i}", nets.Linear(size, hidden, rngs), hidden)
    width = deter + config.blocks * 3 * hidden
    for i in range(config.dynlayers):
      layer = nets.BlockLinear(width, deter, config.blocks, rngs)
      self._add(f"dynhid{i}", layer, deter)
      width = deter
    self.dyngru = nets.BlockLinear(deter, 3 * deter, config.blocks, rngs)
    for prefix, size, layers in (
      ("prior", deter, config.imglayers),
      ("obs", deter + token_size, config.obslayers),
    ):
      for i in range(layers):
        inputs = size if i == 0 else hidden
        self._add(f"{prefix}{i}", nets.Linear(inputs, hidden, rngs), hidden)
    self.priorlogit = self._logits(hidden, rngs)
    self.obslogit = self._logits(hidden, rngs)

  def advance(
    self, latent: Latent, action: Float[Array, "B A"]
  ) -> Float[Array, "B D"]:
    """Returns the next recurrent state (`_core` of the original)."""
    groups = nets.split_groups(latent.deter, self._blocks)
    groups = self._advance(self._times(), latent, groups, action)
    return nets.join_groups(groups)

  def _advance(
    self, times: Times, latent: Latent, groups: Array, action: Array
  ) -> Array:
    """Does it for the recurrent state in groups [G, B, D / G] besides.

    Loops carry the groups: what is used twice, XLA computes as it lies in
    memory, and transposes apart, which is 5 times faster on a CPU.
    """
    action = action / jax.lax.stop_gradient(jnp.maximum(1, jnp.abs(action)))
    inputs = (latent.deter, _flat(latent.stoch), action)
    hidden = [self._timed(times, f"dynin{i}", x) for i, x in enumerate(inputs)]
    own = nets.join_groups(times("own", groups))
    common = times("common", jnp.concatenate(hidden, axis=-1))
    x = self.dynhid0norm.silu(self.dynhid0.finish(own + common))
    x = self._stack("dynhid", self._layers[0], x, first=1)
    gates = times("dyngru", nets.split_groups(x, self._blocks))
    gates = self.dyngru.finish_groups(gates)
    reset, candidate, update = jnp.split(gates, 3, axis=-1)
    candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
    update = jax.nn.sigmoid(update - 1)
    return update * candidate + (1 - update) * groups

  def prior(self, deter: Float[Array, "*s D"]) -> Float[Array, "*s S C"]:
    """Returns logits of the stochastic state from the recurrent one."""
    return self.priorlogit(self._stack("prior", self._layers[1], deter))

  def posterior(
    self, deter: Float[Array, "*s D"], tokens: Float[Array, "*s E"]
  ) -> Float[Array, "*s S C"]:
    """Returns logits of the stochastic state that also saw the observation."""
    return self._posterior(self._times(), deter, tokens)

  def _posterior(self, times: Times, deter: Array, tokens: Array) -> Array:
    x = jnp.concatenate([deter, tokens], axis=-1)
    if self._layers[2]:
      x = self._timed(times, "obs0", x)
      x = self._stack("obs", self._layers[2], x, first=1)
    return self.obslogit.finish(times("obslogit", x))

  def draw(
    self, logits: Float[Array, "*s S C"], gumbel: Float[Array, "*s S C"]
  ) -> Float[Array, "*s S C"]:
    """Returns straight-through samples of the mixed distribution."""
    logp = distributions.mix_uniform(logits, self._unimix)
    return distributions.straight_through(logp, gumbel)

  def observe_step(
    self,
    latent: Latent,
    action: Float[Array, "B A"],
    tokens: Float[Array, "B E"],
    reset: Bool[Array, " B"],
    gumbel: Float[Array, "B S C"],
  ) -> tuple[Latent, Float[Array, "B S C"]]:
    """Returns the next posterior state and its logits.

    Where `reset`, the state and the action before it are zeros.
    """
    groups = nets.split_groups(latent.deter, self._blocks)
    latent, _, logits = self._observe(
      self._times(), latent, groups, action, tokens, reset, gumbel
    )
    return latent, logits

  def _observe(
    self,
    times: Times,
    latent: Latent,
    groups: Array,
    action: Array,
    tokens: Array,
    reset: Array,
    gumbel: Array,
  ) -> tuple[Latent, Array, Array]:
    latent = jax.tree.map(lambda x: _masked(x, reset), latent)
    groups = jnp.where(reset[None, :, None], jnp.zeros_like(groups), groups)
    groups = self._advance(times, latent, groups, _masked(action, reset))
    deter = nets.join_groups(groups)
    logits = self._posterior(times, deter, tokens)
    return Latent(deter, self.draw(logits, gumbel)), groups, logits

  def observe(
    self,
    latent: Latent,
    actions: Float[Array, "B T A"],
    tokens: Float[Array, "B T E"],
    resets: Bool[Array, "B T"],
    gumbel: Float[Array, "B T S C"],
  ) -> tuple[Latent, Float[Array, "B T S C"]]:
    """Returns the posterior states of a sequence and their logits."""

    graph, params = nnx.split(self)

    def step(
      times: Times, params: Any, carry: Any, inputs: tuple[Array, ...]
    ) -> tuple[Any, Any]:
      model = nnx.merge(graph, params)
      state, groups, logits = model._observe(times, *carry, *inputs)
      return (state, groups), (state, logits)

    start = latent, nets.split_groups(latent.deter, self._blocks)
    inputs = jax.tree.map(_time_first, (actions, tokens, resets, gumbel))
    _, outputs = products.scan(step, self._kernels(), params, start, inputs)
    return jax.tree.map(_time_first, outputs)

  def imagine(
    self,
    start: Latent,
    act: Callable[[Latent, Any], tuple[Float[Array, "B A"], Any]],
    gumbel: Float[Array, "B T S C"],
    inputs: Any = None,
  ) -> tuple[Latent, Any]:
    """Returns T states after as many actions, and what `act` gave besides: time
    first.

    Args:
      start: the state before the first action.
      act: (state, inputs of the step) -> (action vector, anything).
      gumbel: noise of each state.
      inputs: pytree of [B, T, ...] arrays for `act`. With one step more, `act`
        sees the last state too, whose action is not taken.
    """
    steps, count = gumbel.shape[1], jax.tree.leaves(inputs)[0].shape[1]
    inputs = jax.tree.map(_time_first, inputs)
    times = self._times()

    def watch(state: Latent, others: Any, i: Any) -> tuple[Array, Any]:
      action, other = act(state, jax.tree.map(lambda x: x[i], inputs))
      # into one array for all steps, as a longer one would be a copy
      return action, jax.tree.map(lambda x, y: x.at[i].set(y), others, other)

    def step(carry: Any, now: tuple[Array, Array]) -> tuple[Any, Any]:
      state, groups, others = carry
      action, others = watch(state, others, now[0])
      groups = self._advance(times, state, groups, action)
      deter = nets.join_groups(groups)
      state = Latent(deter, self.draw(self.prior(deter), now[1]))
      return (state, groups, others), state

    one = jax.eval_shape(act, start, jax.tree.map(lambda x: x[0], inputs))[1]
    others = jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype), one)
    carry = start, nets.split_groups(start.deter, self._blocks), others
    scanned = jnp.arange(steps), _time_first(gumbel)
    (state, _, others), states = jax.lax.scan(step, carry, scanned)
    if count > steps:
      _, others = watch(state, others, steps)
    return states, others

  def kl_losses(
    self,
    posterior: Float[Array, "*s S C"],
    prior: Float[Array, "*s S C"],
    free_nats: float,
  ) -> dict[str, Float[Array, "*s"]]:
    """Returns the dynamics and representation losses, in nats.

    Equation 4 of arXiv:2301.04104: summed over the categoricals, then clipped.
    """
    post = distributions.mix_uniform(posterior, self._unimix)
    pred = distributions.mix_uniform(prior, self._unimix)
    stop = jax.lax.stop_gradient
    dyn = jnp.sum(distributions.categorical_kl(stop(post), pred), axis=-1)
    rep = jnp.sum(distributions.categorical_kl(post, stop(pred)), axis=-1)
    floor = jnp.float32(free_nats)
    return {"dyn": jnp.maximum(dyn, floor), "rep": jnp.maximum(rep, floor)}

  def entropy(self, logits: Float[Array, "*s S C"]) -> Float[Array, "*s"]:
    """Returns the entropy of the mixed distribution, in nats."""
    logp = distributions.mix_uniform(logits, self._unimix)
    return jnp.sum(distributions.categorical_entropy(logp), axis=-1)

  def _kernels(self) -> dict[str, Array]:
    """Returns what multiplies what in a step of a sequence."""
    own, common = self.dynhid0.split_kernel(self._deter // self._blocks)
    names = ["dynin0", "dynin1", "dynin2", "dyngru", "obslogit"]
    names += ["obs0"] * bool(self._layers[2])
    whole = {name: getattr(self, name).kernel[...] for name in names}
    return {**whole, "own": own, "common": common}

  def _times(self) -> Times:
    return products.times(self._kernels())

  def _add(self, name: str, layer: nnx.Module, size: int) -> None:
    setattr(self, name, layer)
    setattr(self, f"{name}norm", nets.RMSNorm(size))

  def _apply(self, name: str, x: Array) -> Array:
    return getattr(self, f"{name}norm").silu(getattr(self, name)(x))

  def _timed(self, times: Times, name: str, x: Array) -> Array:
    y = getattr(self, name).finish(times(name, x))
    return getattr(self, f"{name}norm").silu(y)

  def _stack(self, prefix: str, layers: int, x: Array, first: int = 0) -> Array:
    for i in range(first, layers):
      x = self._apply(f"{prefix}{i}", x)
    return x

  def _logits(self, inputs: int, rngs: nnx.Rngs) -> nets.Linear:
    return nets.Linear(inputs, (self._stoch, self._classes), rngs)


def _flat(stoch: Array) -> Array:
  return stoch.reshape((*stoch.shape[:-2], -1))


def _masked(x: Array, reset: Array) -> Array:
  keep = ~reset.reshape(reset.shape + (1,) * (x.ndim - reset.ndim))
  return jnp.where(keep, x, jnp.zeros_like(x))


def _time_first(x: Array) -> Array:
  return jnp.swapaxes(x, 0, 1)
