"""Part A of the original's numbers: functions and layers."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import official
import pytest
from flax import nnx

from dreamer import distributions, nets, ops, spaces

pytestmark = pytest.mark.parity


def read(name: str) -> official.Arrays:
  return official.arrays(f"A_pure/{name}.npz")


def read_jax(name: str) -> dict[str, jax.Array]:
  return {k: jnp.asarray(v) for k, v in read(name).items()}


def compare(ours: dict[str, Any], theirs: official.Arrays) -> None:
  for name, value in ours.items():
    official.close(value, theirs[name], name=name)


def test_symlog_and_symexp() -> None:
  data = read_jax("symlog_symexp")
  # element by element: their sizes differ by powers of ten
  for ours, name in (
    (ops.symlog(data["x"]), "symlog_x"),
    (ops.symexp(data["y"]), "symexp_y"),
  ):
    np.testing.assert_allclose(ours, data[name], rtol=1e-5)


@pytest.mark.parametrize("path", official.cases("A_pure/twohot_*.npz"))
def test_two_hot(path: str) -> None:
  data = official.arrays(path)
  logits, targets = jnp.asarray(data["logits"]), jnp.asarray(data["targets"])
  bins = distributions.two_hot_bins(len(data["bins"]))
  np.testing.assert_allclose(bins, data["bins"], rtol=1e-5)

  def loss(logits: Any, target: Any) -> Any:
    return distributions.TwoHot(logits, bins).loss(target)

  def mean(logits: Any) -> Any:
    return distributions.TwoHot(logits, bins).mean()

  each = jax.vmap(jax.vmap(loss, (0, None)), (None, 0))
  # one target's losses under all logits, then the next's
  for ours, theirs in zip(each(logits, targets), data["loss"], strict=True):
    official.close(ours, theirs)
  grads = jax.vmap(jax.grad(loss))(logits[data["grad_index"]], targets)
  for ours, theirs in zip(grads, data["grad_loss"], strict=True):
    official.close_gradient(ours, theirs)
  official.close(mean(logits), data["pred"])
  slopes = jax.vmap(jax.grad(mean))(logits[4:9])
  theirs = data["grad_pred_of_logits_4_to_8"]
  for one, other in zip(slopes, theirs, strict=True):
    official.close_gradient(one, other)


def onehot_options() -> list[str]:
  path = official.FIXTURES / "A_pure/onehot_unimix.npz"
  if not path.exists():
    return ["unimix0.01"]
  with np.load(path) as file:
    return sorted({k.split("/")[0] for k in file.files if "/" in k})


@pytest.mark.parametrize("option", onehot_options())
def test_one_hot_with_uniform_mix(option: str) -> None:
  data, unimix = read_jax("onehot_unimix"), float(option[len("unimix") :])
  theirs = official.below(read("onehot_unimix"), f"{option}/")
  event = data["event"].astype(jnp.float32)
  p, q = data["p_logits"], data["q_logits"]

  def mixed(logits: Any) -> Any:
    return distributions.mix_uniform(logits, unimix)

  def kl(p: Any, q: Any) -> Any:
    return distributions.categorical_kl(mixed(p), mixed(q))

  def weighted(logits: Any) -> Any:
    forced = jnp.float32(1e9) * event
    sample = distributions.straight_through(mixed(logits), forced)
    return jnp.sum(sample * data["st_weight"])

  logp = jnp.sum(mixed(p) * event, -1)
  entropy = distributions.categorical_entropy(mixed(p))
  ours = {
    "probs": jnp.exp(mixed(p)),
    "mixed_logits": mixed(p),
    "logp_each": logp,
    "logp_sum": logp.sum(-1),
    "entropy_each": entropy,
    "entropy_sum": entropy.sum(-1),
    "kl_each": kl(p, q),
    "kl_sum": kl(p, q).sum(-1),
    "mode": jax.nn.one_hot(jnp.argmax(p, -1), p.shape[-1]),
  }
  grads = jax.grad(lambda p, q: jnp.sum(kl(p, q)), (0, 1))(p, q)
  slopes = dict(zip(("grad_kl_p", "grad_kl_q"), grads, strict=True))
  slopes["grad_straight_through"] = jax.grad(weighted)(p)
  assert set(theirs) == set(ours) | set(slopes)
  if not unimix:  # there the original keeps logits as they are
    theirs["mixed_logits"] = jax.nn.log_softmax(theirs["mixed_logits"])
  compare(ours, theirs)
  for name, value in slopes.items():
    official.close_gradient(value, theirs[name], name)


def test_categorical_head() -> None:
  data, theirs = read_jax("categorical_head"), read("categorical_head")
  head = distributions.Categorical(data["logits"])
  compare(
    {
      "logp": head.log_prob(data["action"]),
      "entropy": head.entropy(),
      "maxent": head.max_entropy,
    },
    theirs,
  )
  official.equal(head.mode(), theirs["pred"])
  official.close(
    jax.nn.log_softmax(data["logits"]), jax.nn.log_softmax(data["eff_logits"])
  )


def test_categorical_head_of_several_dimensions() -> None:
  data = read_jax("categorical_head_shape2")
  shape = (*data["action"].shape, -1)
  head = distributions.Categorical(data["logits_flat"].reshape(shape), 1)
  ours = {"logp": head.log_prob(data["action"]), "entropy": head.entropy()}
  compare(ours, read("categorical_head_shape2"))


def test_binary_head() -> None:
  data, theirs = read_jax("binary_head"), read("binary_head")
  shape = theirs["loss"].shape
  grid = jnp.broadcast_to(data["logit"][:, None], shape)
  target = jnp.broadcast_to(data["target"][None], shape)
  head = distributions.Bernoulli(data["logit"])
  ours = {"loss": distributions.Bernoulli(grid).loss(target)}
  compare(ours | {"prob1": head.prob()}, theirs)
  official.equal(head.mode(), theirs["pred"])


def test_bounded_normal() -> None:
  data, theirs = read_jax("bounded_normal"), read("bounded_normal")

  def head(mean: Any, std: Any, ndim: int = 1) -> Any:
    make = distributions.BoundedNormal.from_raw
    return make(mean, std, 0.1, 1.0, ndim)

  raw = data["raw_mean"], data["raw_std"]
  whole, each = head(*raw), head(*raw, 0)
  ours = {
    "mean": whole.mean,
    "std": whole.std,
    "pred": whole.mode(),
    "logp": whole.log_prob(data["action"]),
    "logp_each": each.log_prob(data["action"]),
    "entropy": whole.entropy(),
    "entropy_each": each.entropy(),
  }
  compare(ours, theirs)
  slopes = jax.grad(
    lambda *raw: jnp.sum(head(*raw).log_prob(data["action"])), (0, 1)
  )(*raw)
  official.close_gradient(slopes[0], theirs["grad_logp_raw_mean"])
  official.close_gradient(slopes[1], theirs["grad_logp_raw_std"])
  slope = jax.grad(lambda *raw: jnp.sum(head(*raw).entropy()), 1)(*raw)
  official.close_gradient(slope, theirs["grad_entropy_raw_std"])


@pytest.mark.parametrize("kind", ["mse", "symlog_mse"])
def test_squared_errors(kind: str) -> None:
  data, theirs = read_jax("mse_heads"), read("mse_heads")
  squash = kind == "symlog_mse"
  head = distributions.SquaredError(data["pred_raw"], 1, squash)
  ours = {
    f"{kind}/loss": head.loss(data["target"]),
    f"{kind}/pred": head.mode(),
  }
  compare(ours, theirs)


@pytest.mark.parametrize("path", official.cases("A_pure/lambda_return/*.npz"))
def test_lambda_return(path: str) -> None:
  data = official.arrays(path)
  inputs = (
    jnp.asarray(data[k], jnp.float32) for k in ("last", "term", "rew", "boot")
  )
  ours = ops.lambda_return(*inputs, float(data["disc"]), float(data["lam"]))
  official.close(ours, data["ret"])


def test_rms_norm() -> None:
  data, theirs = read_jax("rmsnorm"), read("rmsnorm")
  graph, _ = nnx.split(nets.RMSNorm(len(data["scale"])))

  def weighted(x: Any, scale: Any) -> Any:
    y = nnx.merge(graph, {"scale": scale})(x)
    return jnp.sum(data["w"] * y), y

  grads, y = jax.grad(weighted, (0, 1), has_aux=True)(data["x"], data["scale"])
  official.close(y, theirs["y"])
  official.close_gradient(grads[0], theirs["grad_x"])
  official.close_gradient(grads[1], theirs["grad_scale"])


def test_block_linear() -> None:
  data = read_jax("blocklinear")
  groups, inputs, outputs = data["kernel"].shape
  layer = nets.BlockLinear(
    groups * inputs, groups * outputs, groups, nnx.Rngs(0)
  )
  official.close(apply(layer, data), data["y"])


def test_shaped_linear() -> None:
  data = read_jax("linear_shaped")
  shape = data["y"].shape[data["x"].ndim - 1 :]
  layer = nets.Linear(data["x"].shape[-1], shape, nnx.Rngs(0))
  official.close(apply(layer, data), data["y"])


def test_convolution_pooling_and_upsampling() -> None:
  data = read_jax("conv_pool")
  size, _, inputs, outputs = data["kernel"].shape
  y = apply(nets.Conv(inputs, outputs, size, nnx.Rngs(0)), data)
  official.close(y, data["y"])
  official.close(nets.max_pool(y), data["pooled"])
  official.close(nets.upsample(y), data["upsampled"])
  official.equal(nets.max_pool(data["tie_x"]), data["tie_pooled"])
  slope = jax.grad(lambda x: jnp.sum(data["tie_w"] * nets.max_pool(x)))
  official.close_gradient(slope(data["tie_x"]), data["tie_grad"])


def apply(layer: nnx.Module, data: dict[str, jax.Array]) -> jax.Array:
  """Returns the layer's output with the recorded weights."""
  graph, _ = nnx.split(layer)
  weights = {name: data[name] for name in ("kernel", "bias")}
  return nnx.merge(graph, weights)(data["x"])


@pytest.mark.parametrize("kind", ["plain", "symlog"])
def test_vectors_of_dictionaries(kind: str) -> None:
  """The file does not say how many classes keys have; its width leaves few."""
  theirs = read("dict_concat")
  values = official.below(theirs, "nonfinite_ok_in/")
  arrays = {k: jnp.asarray(v) for k, v in values.items()}
  squash = ops.symlog if kind == "symlog" else lambda x: x
  discrete = [k for k, v in values.items() if v.dtype.kind in "iu"]
  fitting = []
  for counts in itertools.product(range(1, 20), repeat=len(discrete)):
    classes = dict(zip(discrete, counts, strict=True))
    known = {
      k: spaces.Space(v.shape[1:], classes.get(k, 0)) for k, v in values.items()
    }
    enough = all(values[k].max() < classes[k] for k in discrete)
    if enough and spaces.vector_size(known) == theirs[kind].shape[-1]:
      vector = spaces.to_vector(arrays, known, squash)
      fitting.append(np.abs(vector - theirs[kind]).max())
  assert min(fitting) <= 1e-5 * np.abs(theirs[kind]).max()
