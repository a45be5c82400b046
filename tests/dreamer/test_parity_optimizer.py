"""Part A of the original's numbers: optimizer, losses of arrays, slow critic.

What the original can do and this package does not: return normalisation by
mean and deviation or with bias correction.
"""

import re
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import official
import optax
import pytest

from dreamer import behavior, distributions, learner, optim
from dreamer import config as config_lib

pytestmark = pytest.mark.parity

# The settings of the recorded runs; README.md of the fixtures.
CHAINS: dict[str, dict[str, Any]] = {
  "warmup0": {"lr": 1e-2, "warmup": 0},
  "warmup3": {"lr": 1e-2, "warmup": 3},
  "default_lr": {"lr": 4e-5, "warmup": 1000},
  "wd_linear": {
    "lr": 1e-2,
    "warmup": 2,
    "wd": 0.1,
    "schedule": "linear",
    "anneal": 4,
  },
  "cosine": {"lr": 1e-2, "warmup": 1, "schedule": "cosine", "anneal": 5},
}


def steps_of(data: official.Arrays) -> list[str]:
  return sorted({k.split("/")[0] for k in data if k[0].isdigit()}, key=int)


def element(state: Any, path: str) -> Any:
  """Returns what the original's path of a state names, in ours."""
  for part in path.split("/"):
    state = state[int(part) if isinstance(state, tuple) else part]
  return state


def same_states(state: Any, theirs: official.Arrays) -> None:
  for path, value in theirs.items():
    official.close(element(state, path), value, name=path)


def apply(
  transform: optax.GradientTransformation, data: official.Arrays
) -> list[Any]:
  """Returns updates and states of a transform under fixed parameters."""
  params = official.nested(official.below(data, "params0/"))
  grads = [
    official.nested(official.below(data, f"{t}/grad/")) for t in steps_of(data)
  ]
  state, found = transform.init(params or grads[0]), []
  for grad in grads:
    update, state = transform.update(grad, state, params or None)
    found.append((update, state))
  return found


@pytest.mark.parametrize("name", ["agc", "rms", "momentum"])
def test_transformation(name: str) -> None:
  data = official.arrays(f"A_pure/opt_{name}.npz")
  transform = {
    "agc": optim.clip_by_agc(0.3),
    "rms": optim.scale_by_rms(0.999, 1e-20),
    "momentum": optim.scale_by_momentum(0.9),
  }[name]
  results = apply(transform, data)
  for t, (update, state) in zip(steps_of(data), results, strict=True):
    theirs = official.below(data, f"{t}/update/")
    official.same_values(official.flat(update), theirs)
    same_states(state, official.below(data, f"{t}/state/s/"))


def test_tiny_gradients() -> None:
  """Where squares stay normal float32 numbers; below it is the platform's."""
  data = official.arrays("A_pure/opt_rms_tiny_gradients.npz")
  results = apply(optim.scale_by_rms(0.999, 1e-20), data)
  for t, (update, _) in zip(steps_of(data), results, strict=True):
    for name, value in official.below(data, f"{t}/update/").items():
      if all(np.abs(data[f"{i}/grad/{name}"]).min() > 5e-18 for i in "12"):
        official.close(update[name], value, name=name)


@pytest.mark.parametrize("path", official.cases("A_pure/opt_chain_*.npz"))
def test_whole_optimizer(path: str) -> None:
  data = official.arrays(path)
  options = config_lib.default_config().optimizer
  options.update(CHAINS[re.findall("opt_chain_(.*).npz", path)[0]])
  transform, rate = optim.make_optimizer(options), options.lr
  params = official.nested(official.below(data, "params0/"))
  state = transform.init(params)
  step = jax.jit(transform.update)
  for t in steps_of(data):
    grads = official.nested(official.below(data, f"{t}/grad/"))
    updates, state = step(grads, state, params)
    theirs = official.below(data, f"{t}/update/")
    moved(official.flat(updates), theirs, rate)
    same_states(state, official.below(data, f"{t}/state/s/"))
    ours = official.flat(optax.apply_updates(params, updates))
    moved(ours, official.below(data, f"{t}/params/"), rate)
    params = official.nested(official.below(data, f"{t}/params/"))


def moved(ours: dict[str, Any], theirs: official.Arrays, rate: float) -> None:
  assert set(ours) == set(theirs)
  for name, value in theirs.items():
    limit = official.FROM_RECORDED * rate
    np.testing.assert_allclose(
      ours[name], value, rtol=1e-6, atol=limit, err_msg=name
    )


@pytest.mark.parametrize("path", official.cases("A_pure/slow_ema_*.npz"))
def test_slow_critic(path: str) -> None:
  data = official.arrays(path)
  options = config_lib.default_config().slow_critic
  if "every" in path:
    options.every = int(re.findall(r"every(\d+)", path)[0])
  if "copy" in path:
    options.rate = 1.0
  for step in steps_of(data):
    before = official.below(data, f"{step}/before/")
    after = official.below(data, f"{step}/after/slowval/")
    ours = learner.follow(
      options,
      jnp.asarray(before["slowval_count/value"]),
      official.nested(official.below(before, "slowval/")),
      official.nested(official.below(before, "val/")),
    )
    official.same_values(official.flat(ours), after)


@pytest.mark.parametrize("path", official.cases("A_pure/normalize_*.npz"))
def test_return_range(path: str) -> None:
  data = official.arrays(path)
  if "/retnorm_default" not in path.replace("normalize_", "/"):
    pytest.skip(
      "not applicable: this package has percentiles without debiasing"
    )
  options = config_lib.default_config().return_norm
  state = behavior.ReturnRange.initial()
  for step in steps_of(data):
    state = state.updated(jnp.asarray(data[f"{step}/x"]), options)
    official.close(state.low, data[f"{step}/state/lo"])
    official.close(state.high, data[f"{step}/state/hi"])
    official.close(state.scale(options.limit), data[f"{step}/scale"])
    official.close(state.low, data[f"{step}/offset"])


def test_percentile() -> None:
  data = official.arrays("A_pure/percentile.npz")
  options = config_lib.default_config().return_norm
  options.rate = 1.0
  options.low, options.high = map(float, data["q"])
  state = behavior.ReturnRange.initial()
  state = state.updated(jnp.asarray(data["x"]), options)
  official.close(jnp.stack([state.low, state.high]), data["value"])


def config_for(path: str) -> ml_collections.ConfigDict:
  config = config_lib.default_config()
  config.contdisc = "contdisc0" not in path
  config.behavior.slowtar = "slowtar1" in path
  return config


def policy_of(raw: dict[str, jax.Array], leading: int) -> Any:
  if "logits" in raw:
    ndim = raw["logits"].ndim - leading - 1
    return distributions.Categorical(raw["logits"], ndim)
  ndim = raw["mean"].ndim - leading
  make = distributions.BoundedNormal.from_raw
  return make(raw["mean"], raw["stddev"], 0.1, 1.0, ndim)


@pytest.mark.parametrize("path", official.cases("A_pure/imag_loss_*.npz"))
def test_imagination_losses(path: str) -> None:
  theirs, config = official.arrays(path), config_for(path)
  data = {k: jnp.asarray(v) for k, v in theirs.items()}
  bins = distributions.two_hot_bins(len(data["bins"]))
  [name] = official.below(theirs, "act/")
  before = behavior.ReturnRange(
    data["retnorm_before/retnorm/lo/value"],
    data["retnorm_before/retnorm/hi/value"],
  )

  def swap(tree: Any) -> Any:  # ours are time first
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)

  def total(raw: Any, logits: Any) -> Any:
    losses, outcome, metrics = behavior.imagination_losses(
      config,
      {name: swap(data[f"act/{name}"])},
      swap(data["rew"]),
      swap(data["con"]),
      {name: policy_of(swap(raw), 2)},
      distributions.TwoHot(swap(logits), bins),
      distributions.TwoHot(swap(data["slowvalue_logits"]), bins),
      before,
    )
    losses = swap(losses)
    mean = jnp.mean(losses["policy"]) + jnp.mean(losses["value"])
    return mean, (losses, outcome, metrics)

  raw = official.nested(official.below(theirs, "policy_raw/"))
  differentiate = jax.jit(jax.grad(total, (0, 1), has_aux=True))
  slopes, known = differentiate(raw, data["value_logits"])
  losses, outcome, metrics = known
  official.same_values(losses, official.below(theirs, "loss/"))
  recorded = official.below(theirs, "metrics/")
  official.same_values({k: metrics[k] for k in recorded}, recorded)
  official.close(swap(outcome.returns), theirs["ret"])
  for ours, key in ((outcome.range.low, "lo"), (outcome.range.high, "hi")):
    official.close(ours, theirs[f"retnorm_after/retnorm/{key}/value"])
  recorded = official.below(theirs, "grad_mean_total_policy_raw/")
  official.same_gradients(slopes[0], recorded)
  official.close_gradient(slopes[1], theirs["grad_mean_total_value_logits"])


@pytest.mark.parametrize("path", official.cases("A_pure/repl_loss_*.npz"))
def test_replay_loss(path: str) -> None:
  """`slowtar` changes nothing here: the returns start from `boot`."""
  theirs, config = official.arrays(path), config_for(path)
  data = {k: jnp.asarray(v, jnp.float32) for k, v in theirs.items()}
  bins = distributions.two_hot_bins(len(data["bins"]))

  def total(logits: Any) -> Any:
    loss = behavior.replay_loss(
      config,
      data["last"],
      data["term"],
      data["rew"],
      data["boot"],
      distributions.TwoHot(logits, bins),
      distributions.TwoHot(data["slowvalue_logits"], bins),
    )
    return jnp.mean(loss), loss

  differentiate = jax.jit(jax.grad(total, has_aux=True))
  slope, loss = differentiate(data["value_logits"])
  official.close(loss, theirs["loss/repval"])
  official.close_gradient(slope, theirs["grad_mean_value_logits"])
