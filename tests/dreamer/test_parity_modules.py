"""Part B of the original's numbers: RSSM, heads, encoder, decoder."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import official
import pytest
from flax import nnx

from dreamer import codec, heads, noise, rssm, spaces
from dreamer import config as config_lib

pytestmark = pytest.mark.parity

RSSMS = official.cases("B_rssm_*")
CODECS = official.cases("B_encdec_*")


def section(name: str, options: official.Tree) -> ml_collections.ConfigDict:
  config = config_lib.default_config()[name]
  official.fill(config, options)
  return config


def latent(data: official.Arrays, prefix: str = "") -> rssm.Latent:
  stoch = jnp.asarray(data[f"{prefix}stoch"], jnp.float32)
  return rssm.Latent(jnp.asarray(data[f"{prefix}deter"]), stoch)


def make_rssm(path: str) -> tuple[nnx.GraphDef, official.Tree, Any]:
  """Returns the graph, the parameters, and what makes vectors of actions."""
  written = official.written(f"{path}/config.json")
  config = section("rssm", written["rssm"])
  actions = official.spaces_of(written["act_space"])
  size = spaces.vector_size(actions)
  params = official.params(official.arrays(f"{path}/params.npz"))["rssm"]

  def make() -> rssm.RSSM:
    return rssm.RSSM(config, size, written["token_dim"], nnx.Rngs(0))

  def vector(data: official.Arrays) -> jax.Array:
    found = official.below(data, "action/")
    return spaces.to_vector(jax.tree.map(jnp.asarray, found), actions)

  return official.graph_of(make, params), params, vector


@pytest.mark.parametrize("path", RSSMS)
def test_rssm_core(path: str) -> None:
  data = official.arrays(f"{path}/core.npz")
  graph, params, vector = make_rssm(path)
  official.equal(vector(data), data["action_vec"])
  model = nnx.merge(graph, params)
  deter = jax.jit(lambda x, a: model.advance(x, a))(latent(data), vector(data))
  official.close(deter, data["next_deter"])
  official.close(model.prior(deter), data["prior_logit_of_next"])


@pytest.mark.parametrize("path", RSSMS)
def test_rssm_observes(path: str) -> None:
  data = official.arrays(f"{path}/observe.npz")
  options = official.written(f"{path}/config.json")["rssm"]
  graph, params, vector = make_rssm(path)
  gumbel = noise.forced(jnp.asarray(data["sample_stoch"], jnp.float32))
  actions, resets = vector(data), jnp.asarray(data["reset"])
  stoch = latent(data, "carry/").stoch

  def scalar(params: Any, deter: Any, tokens: Any) -> Any:
    model = nnx.merge(graph, params)
    start = rssm.Latent(deter, stoch)
    states, logits = model.observe(start, actions, tokens, resets, gumbel)
    prior = model.prior(states.deter)
    losses = model.kl_losses(logits, prior, options["free_nats"])
    total = (
      jnp.sum(data["scalar_w_deter"] * states.deter)
      + jnp.sum(data["scalar_w_stoch"] * states.stoch)
      + jnp.sum(losses["dyn"])
      + 0.1 * jnp.sum(losses["rep"])
    )
    entropies = {
      "metrics/dyn_ent": jnp.mean(model.entropy(prior)),
      "metrics/rep_ent": jnp.mean(model.entropy(logits)),
    }
    known = {
      "deter": states.deter,
      "final_deter": states.deter[:, -1],
      "post_logit": logits,
      "prior_logit": prior,
      "loss/dyn": losses["dyn"],
      "loss/rep": losses["rep"],
      "scalar": total,
    }
    return total, (known | entropies, states.stoch)

  start, tokens = jnp.asarray(data["carry/deter"]), jnp.asarray(data["tokens"])
  differentiate = jax.jit(jax.grad(scalar, (0, 1, 2), has_aux=True))
  slopes, (known, sampled) = differentiate(params, start, tokens)
  for name, value in known.items():
    official.close(value, data[name], name=name)
  official.equal(np.round(sampled), data["sample_stoch"])
  recorded = official.below(data, "grad_params/")
  official.same_gradients({"rssm": slopes[0]}, recorded)
  official.close_gradient(slopes[1], data["grad_carry_deter"])
  official.close_gradient(slopes[2], data["grad_tokens"])


@pytest.mark.parametrize("path", RSSMS)
def test_rssm_imagines(path: str) -> None:
  data = official.arrays(f"{path}/imagine.npz")
  graph, params, vector = make_rssm(path)
  gumbel = noise.forced(jnp.asarray(data["sample_stoch"], jnp.float32))

  @jax.jit
  def run(params: Any, start: rssm.Latent, actions: jax.Array) -> Any:
    model = nnx.merge(graph, params)
    states, _ = model.imagine(start, lambda _, a: (a, None), gumbel, actions)
    states = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), states)
    return states, model.prior(states.deter)

  states, prior = run(params, latent(data, "carry/"), vector(data))
  official.close(states.deter, data["deter"])
  official.close(prior, data["prior_logit"])
  official.equal(np.round(states.stoch), data["sample_stoch"])


@pytest.mark.parametrize(
  "path", official.cases("B_head_[!p]*", "B_head_{rew,val,con}")
)
def test_scalar_head(path: str) -> None:
  data = official.arrays(f"{path}/data.npz")
  options = official.written(f"{path}/config.json")
  binary = options["output"] == "binary"
  config = section("continuation" if binary else "critic", options)
  [(name, params)] = official.params(data, "params/").items()
  size, target = data["feat"].shape[-1], jnp.asarray(data["target"])
  kind = heads.BinaryHead if binary else heads.TwoHotHead
  graph = official.graph_of(lambda: kind(size, config, nnx.Rngs(0)), params)

  def total(params: Any, feature: Any) -> Any:
    predicted = nnx.merge(graph, params)(feature)
    loss = predicted.loss(target)
    if binary:
      known = {"raw/logit": predicted.logit, "prob1": predicted.prob()}
      known["pred"] = predicted.mode().astype(jnp.float32)
    else:
      known = {"raw/logits": predicted.logits, "pred": predicted.mean()}
    return jnp.sum(loss), known | {"loss": loss}

  differentiate = jax.jit(jax.grad(total, (0, 1), has_aux=True))
  slopes, known = differentiate(params, jnp.asarray(data["feat"]))
  for key, value in known.items():
    official.close(value, data[key].astype(np.float32), name=key)
  recorded = official.below(data, "grad_params/")
  official.same_gradients({name: slopes[0]}, recorded)
  official.close_gradient(slopes[1], data["grad_feat"])


@pytest.mark.parametrize("path", official.cases("B_head_policy_*"))
def test_actor(path: str) -> None:
  data = official.arrays(f"{path}/data.npz")
  written = official.written(f"{path}/config.json")
  config = section("actor", written["policy"])
  actions = official.spaces_of(written["act_space"])
  [params] = official.params(data, "params/").values()
  size = data["feat"].shape[-1]

  def make() -> heads.Actor:
    return heads.Actor(size, config, actions, nnx.Rngs(0))

  graph = official.graph_of(make, params)

  @jax.jit
  def run(params: Any, feature: Any) -> Any:
    known = {}
    for name, one in nnx.merge(graph, params)(feature).items():
      taken = jnp.asarray(data[f"action/{name}"])
      known[f"logp/{name}"] = one.log_prob(taken)
      known[f"entropy/{name}"] = one.entropy()
      known[f"pred/{name}"] = one.mode()
      raw = ("logits",) if actions[name].classes else ("mean", "std")
      known |= {f"raw/{name}/{key}": getattr(one, key) for key in raw}
    return known

  known = run(params, jnp.asarray(data["feat"]))
  for name, value in known.items():
    official.close(value, data[name], name=name)


@pytest.mark.parametrize("path", CODECS)
def test_encoder(path: str) -> None:
  data = official.arrays(f"{path}/encoder.npz")
  written = official.written(f"{path}/config.json")
  config = section("encoder", written["encoder"])
  known = official.spaces_of(written["obs_space"])
  params = official.params(data, "params/")["encoder"]
  graph = official.graph_of(
    lambda: codec.Encoder(config, known, nnx.Rngs(0)), params
  )
  obs = jax.tree.map(jnp.asarray, official.below(data, "obs/"))

  def total(params: Any) -> Any:
    tokens = nnx.merge(graph, params)(obs)
    return jnp.sum(data["w"] * tokens), tokens

  slopes, tokens = jax.jit(jax.grad(total, has_aux=True))(params)
  official.close(tokens, data["tokens"])
  recorded = official.below(data, "grad_params_of_sum_w_tokens/")
  official.same_gradients({"encoder": slopes}, recorded)


@pytest.mark.parametrize("path", CODECS)
def test_decoder(path: str) -> None:
  data = official.arrays(f"{path}/decoder.npz")
  written = official.written(f"{path}/config.json")
  config = section("decoder", written["decoder"])
  known = official.spaces_of(written["obs_space"])
  params = official.params(data, "params/")["decoder"]
  start = latent(data, "feat/")
  sizes = start.deter.shape[-1], int(np.prod(start.stoch.shape[-2:]))

  def make() -> codec.Decoder:
    return codec.Decoder(config, known, *sizes, nnx.Rngs(0))

  graph = official.graph_of(make, params)
  seen = official.below(official.arrays(f"{path}/encoder.npz"), "obs/")

  def total(params: Any, deter: Any) -> Any:
    found = nnx.merge(graph, params)(rssm.Latent(deter, start.stoch))
    losses, raw = {}, {}
    for name, one in found.items():
      target = jnp.asarray(seen[name])
      if known[name].is_image:
        target = target.astype(jnp.float32) / 255
      losses[name] = one.loss(target)
      key = "logits" if known[name].classes else "mean"
      raw[f"{name}/{key}"] = getattr(one, key)
    return sum(jnp.sum(x) for x in losses.values()), (losses, raw)

  differentiate = jax.jit(jax.grad(total, (0, 1), has_aux=True))
  slopes, (losses, raw) = differentiate(params, start.deter)
  official.same_values(losses, official.below(data, "loss/"))
  for name, value in official.below(data, "recon_raw/").items():
    b, t = value.shape[:2]
    official.close(raw[name][:b, :t], value, name=name)
  recorded = official.below(data, "grad_params_of_sum_loss/")
  official.same_gradients({"decoder": slopes[0]}, recorded)
  official.close_gradient(slopes[1], data["grad_deter_of_sum_loss"])
