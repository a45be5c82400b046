"""What the heads predict: means, log-probabilities, losses, samples.

Source: embodied/jax/outs.py of danijar/dreamerv3. Axes: C classes, N bins,
A action dimensions, s any leading axes.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dreamer import ops


def mix_uniform(
  logits: Float[Array, "*s C"], unimix: float
) -> Float[Array, "*s C"]:
  """Returns log-probabilities of (1 - unimix) softmax + unimix uniform."""
  if not unimix:
    return jax.nn.log_softmax(logits)
  probs = jax.nn.softmax(logits)
  uniform = jnp.float32(unimix / logits.shape[-1])
  return jnp.log((1 - jnp.float32(unimix)) * probs + uniform)


def straight_through(
  logp: Float[Array, "*s C"], gumbel: Float[Array, "*s C"]
) -> Float[Array, "*s C"]:
  """Returns one-hot samples whose gradient is that of the probabilities.

  Args:
    logp: log-probabilities.
    gumbel: standard Gumbel noise; its largest sum with `logp` is drawn.
  """
  index = jnp.argmax(logp + gumbel, axis=-1)
  sample = jax.nn.one_hot(index, logp.shape[-1], dtype=logp.dtype)
  probs = jnp.exp(logp)
  return sample + (probs - jax.lax.stop_gradient(probs))


def categorical_kl(
  p: Float[Array, "*s C"], q: Float[Array, "*s C"]
) -> Float[Array, "*s"]:
  """Returns KL(p || q) of categoricals given as log-probabilities."""
  return jnp.sum(jnp.exp(p) * (p - q), axis=-1)


def categorical_entropy(logp: Float[Array, "*s C"]) -> Float[Array, "*s"]:
  """Returns the entropy, in nats, of categoricals of log-probabilities."""
  return -jnp.sum(jnp.exp(logp) * logp, axis=-1)


@dataclasses.dataclass(frozen=True)
class Categorical:
  """Independent categorical dimensions, summed over.

  Attributes:
    logits: [*s, *shape, C] for events of [*s, *shape].
    ndim: how many axes an event has besides s.
  """

  logits: Float[Array, "*s C"]
  ndim: int = 0

  def mode(self) -> Int[Array, "*e"]:
    """Returns the likeliest event."""
    return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

  def sample(self, gumbel: Float[Array, "*s C"]) -> Int[Array, "*e"]:
    """Returns the event drawn by standard Gumbel noise like the logits."""
    return jnp.argmax(self.logits + gumbel, axis=-1).astype(jnp.int32)

  def log_prob(self, event: Int[Array, "*e"]) -> Float[Array, "*t"]:
    """Returns the log-probability of an event."""
    chosen = jax.nn.one_hot(event, self.logits.shape[-1])
    logp = jnp.sum(jax.nn.log_softmax(self.logits) * chosen, axis=-1)
    return _sum_last(logp, self.ndim)

  def loss(self, event: Int[Array, "*e"]) -> Float[Array, "*t"]:
    """Returns the cross-entropy of an event."""
    return -self.log_prob(event)

  def entropy(self) -> Float[Array, "*t"]:
    """Returns the entropy in nats."""
    entropy = categorical_entropy(jax.nn.log_softmax(self.logits))
    return _sum_last(entropy, self.ndim)

  @property
  def max_entropy(self) -> float:
    """The entropy of the uniform distribution."""
    dims = self.logits.shape[self.logits.ndim - 1 - self.ndim : -1]
    return math.log(self.logits.shape[-1]) * math.prod(dims)


@dataclasses.dataclass(frozen=True)
class BoundedNormal:
  """Normal actions with a mean in (-1, 1) and a bounded deviation.

  The mean is tanh(raw mean), the deviation (high - low) sigmoid(raw + 2) + low.
  Events are not squashed: the environment clips them.
  """

  mean: Float[Array, "*e"]
  std: Float[Array, "*e"]
  ndim: int = 1

  @classmethod
  def from_raw(
    cls,
    mean: Float[Array, "*e"],
    std: Float[Array, "*e"],
    low: float,
    high: float,
    ndim: int = 1,
  ) -> "BoundedNormal":
    """Returns the distribution of a head's two outputs."""
    low32, span = jnp.float32(low), jnp.float32(high - low)
    deviation = span * jax.nn.sigmoid(std + 2) + low32
    return cls(jnp.tanh(mean), deviation, ndim)

  def mode(self) -> Float[Array, "*e"]:
    """Returns the mean."""
    return self.mean

  def sample(self, noise: Float[Array, "*e"]) -> Float[Array, "*e"]:
    """Returns the event drawn by standard normal noise."""
    return self.mean + self.std * noise

  def log_prob(self, event: Float[Array, "*e"]) -> Float[Array, "*t"]:
    """Returns the log-density, summed over the dimensions."""
    logp = jax.scipy.stats.norm.logpdf(event, self.mean, self.std)
    return _sum_last(logp, self.ndim)

  def entropy(self) -> Float[Array, "*t"]:
    """Returns the differential entropy, summed over the dimensions."""
    entropy = 0.5 * jnp.log(2 * jnp.pi * jnp.square(self.std)) + 0.5
    return _sum_last(entropy, self.ndim)


@dataclasses.dataclass(frozen=True)
class Bernoulli:
  """A bit, or the probability of one as target."""

  logit: Float[Array, "*s"]

  def prob(self) -> Float[Array, "*s"]:
    """Returns the probability of 1."""
    return jax.nn.sigmoid(self.logit)

  def mode(self) -> Bool[Array, "*s"]:
    """Tells whether 1 is likelier than 0."""
    return self.logit > 0

  def loss(self, target: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Returns the cross-entropy of a soft target."""
    one, zero = jax.nn.log_sigmoid(self.logit), jax.nn.log_sigmoid(-self.logit)
    return -(target * one + (1 - target) * zero)


@dataclasses.dataclass(frozen=True)
class SquaredError:
  """A point estimate, with the sum of squares over `ndim` axes as loss.

  With `squash`, the target's symlog is estimated; `mode` stays in that space,
  as in the original.
  """

  mean: Float[Array, "*s"]
  ndim: int
  squash: bool = False

  def mode(self) -> Float[Array, "*s"]:
    """Returns the estimate, of the symlog where that is estimated."""
    return self.mean

  def loss(self, target: Float[Array, "*s"]) -> Float[Array, "*t"]:
    """Returns the squared error; there is no factor of one half."""
    wanted = ops.symlog(target) if self.squash else target
    error = self.mean - jax.lax.stop_gradient(wanted)
    return _sum_last(jnp.square(error), self.ndim)


def two_hot_bins(count: int) -> Float[Array, " N"]:
  """Returns bins from symexp(-20) to symexp(20), mirrored around zero."""
  odd = count % 2
  half = ops.symexp(jnp.linspace(-20, 0, count // 2 + odd, dtype=jnp.float32))
  return jnp.concatenate([half, -(half[:-1] if odd else half)[::-1]])


@dataclasses.dataclass(frozen=True)
class TwoHot:
  """A scalar as a distribution over bins; two-hot targets in reward space."""

  logits: Float[Array, "*s N"]
  bins: Float[Array, " N"]

  def mean(self) -> Float[Array, "*s"]:
    """Returns the expectation, summed from the middle outwards.

    So that flat logits give 0 although the outer bins are of order 1e8.
    """
    top = jax.lax.stop_gradient(jnp.max(self.logits, -1, keepdims=True))
    # divided by their sum at the end: fewer numbers
    odds = jnp.exp(self.logits - top)
    weighted = odds * jnp.broadcast_to(self.bins, odds.shape)
    half = self.logits.shape[-1] // 2
    low, high = weighted[..., :half], weighted[..., -half:]
    total = jnp.sum(low[..., ::-1] + high, axis=-1)
    if self.logits.shape[-1] % 2:
      total = weighted[..., half] + total
    return total / jnp.sum(odds, axis=-1)

  def loss(self, target: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Returns the cross-entropy with the two bins around the target."""
    target = jax.lax.stop_gradient(target)
    last = self.bins.shape[0] - 1
    count = jnp.searchsorted(
      self.bins, target, side="right", method="scan_unrolled"
    ).astype(jnp.int32)
    below, above = jnp.clip(count - 1, 0, last), jnp.clip(count, 0, last)
    to_below = jnp.abs(self.bins[below] - target)
    to_above = jnp.abs(self.bins[above] - target)
    equal = below == above
    to_below = jnp.where(equal, 1, to_below)
    to_above = jnp.where(equal, 1, to_above)
    total = to_below + to_above
    return _two_hot_loss(
      self.logits, below, above, to_above / total, to_below / total
    )


@jax.custom_vjp
def _two_hot_loss(
  logits: Float[Array, "*s N"],
  below: Int[Array, "*s"],
  above: Int[Array, "*s"],
  share_below: Float[Array, "*s"],
  share_above: Float[Array, "*s"],
) -> Float[Array, "*s"]:
  """Returns the cross-entropy with two classes, without a dense target."""
  at_below, at_above = (
    jnp.take_along_axis(logits, place[..., None], axis=-1)[..., 0]
    for place in (below, above)
  )
  total = jax.nn.logsumexp(logits, axis=-1)
  return total - (share_below * at_below + share_above * at_above)


def _two_hot_loss_forward(*inputs: Array) -> tuple[Array, tuple[Array, ...]]:
  return _two_hot_loss(*inputs), inputs


def _two_hot_loss_backward(
  saved: tuple[Array, ...], slope: Array
) -> tuple[Array | None, ...]:
  logits, *rest = saved
  below, above, *shares = (x[..., None] for x in rest)
  index = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
  wanted = sum(
    jnp.where(index == place, share, 0)
    for place, share in zip((below, above), shares, strict=True)
  )
  gradient = slope[..., None] * (jax.nn.softmax(logits) - wanted)
  return gradient, None, None, None, None


_two_hot_loss.defvjp(_two_hot_loss_forward, _two_hot_loss_backward)


def _sum_last(x: Array, ndim: int) -> Array:
  return jnp.sum(x, axis=tuple(range(-ndim, 0))) if ndim else x
