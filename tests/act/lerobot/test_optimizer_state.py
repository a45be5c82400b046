"""AdamW's state in LeRobot's files: the order of parameters, and every bit."""

import json
import os
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from act import config as config_lib
from act import features, lerobot_names, model, optimizer
from act.lerobot import optimizer_state
from carnet import errors

DEFAULT = pathlib.Path(__file__).parents[2] / "fixtures/lerobot_act_tiny"
FIXTURES = pathlib.Path(os.environ.get("ACT_FIXTURES", DEFAULT))
TRAINED = next(FIXTURES.glob("run/checkpoints/*/training_state"))


def stored() -> dict[str, np.ndarray]:
  return safetensors.numpy.load_file(TRAINED / optimizer_state.STATE)


def weights() -> dict[str, np.ndarray]:
  """Returns the tensors that have gradients."""
  found = safetensors.numpy.load_file(
    TRAINED.parent / "pretrained_model/model.safetensors"
  )
  parts = (".bn", ".downsample.1.", "pos_enc")
  return {k: x for k, x in found.items() if not any(p in k for p in parts)}


def template() -> dict[str, Any]:
  """Returns the parameters of a network of the fixture's structure."""
  written = json.loads((FIXTURES / "step0/config.json").read_text())
  config = config_lib.default_config().model
  found = weights()
  stages = [f"model.backbone.layer{i}.0.conv1.weight" for i in range(1, 5)]
  config.update(
    backbone_widths=tuple(len(found[key]) for key in stages),
    backbone_norm="frozen",
    chunk_size=written["chunk_size"],
    n_action_steps=written["n_action_steps"],
    width=written["dim_model"],
    heads=written["n_heads"],
    feedforward=written["dim_feedforward"],
    encoder_layers=written["n_encoder_layers"],
    latent_size=written["latent_dim"],
    use_vae=written["use_vae"],
    vae_encoder_layers=written["n_vae_encoder_layers"],
    pre_norm=written["pre_norm"],
  )
  sizes = {
    feature["type"]: feature["shape"][0]
    for feature in written["input_features"].values()
    if feature["type"] != "VISUAL"
  }
  images = tuple(
    (name, (96, 128, 3))
    for name, feature in written["input_features"].items()
    if feature["type"] == "VISUAL"
  )
  [action] = written["output_features"].values()
  spec = features.Features(
    images, action["shape"][0], sizes.get("STATE", 0), sizes.get("ENV", 0)
  )
  return parameters(config, spec)


def parameters(config: Any, spec: features.Features) -> dict[str, Any]:
  return nnx.to_pure_dict(nnx.state(model.abstract(config, spec), nnx.Param))


def test_order_fits_the_recorded_shapes() -> None:
  found = weights()
  groups = optimizer_state.order(sorted(found))
  recorded = json.loads((TRAINED / optimizer_state.GROUPS).read_text())
  assert [len(g) for g in groups] == [len(g["params"]) for g in recorded]
  moments = stored()
  for i, key in enumerate([*groups[0], *groups[1]]):
    assert moments[f"state/{i}/exp_avg"].shape == found[key].shape, key


def test_order_fits_the_recorded_gradients() -> None:
  """The first moment leans to where the first gradient did, in every tensor."""
  gradients = FIXTURES / "grads.safetensors"
  if not gradients.exists():
    pytest.skip("this set has no gradients")
  theirs, moments = safetensors.numpy.load_file(gradients), stored()
  groups = optimizer_state.order(list(theirs))
  total = np.sqrt(sum(float(np.sum(g * g)) for g in theirs.values()))
  for i, key in enumerate([*groups[0], *groups[1]]):
    gradient = theirs[key].ravel()
    if np.linalg.norm(gradient) < 1e-6 * total:
      continue  # rounding alone
    moment = moments[f"state/{i}/exp_avg"].ravel()
    lengths = np.linalg.norm(gradient) * np.linalg.norm(moment)
    assert gradient @ moment > 0.3 * lengths, key


# LeRobot 0.6.1 itself: [name for name, x in policy.named_parameters()]
PRE_NORM_NO_VAE = """
encoder.layers.0.self_attn.in_proj_weight
encoder.layers.0.self_attn.in_proj_bias
encoder.layers.0.self_attn.out_proj.weight
encoder.layers.0.self_attn.out_proj.bias
encoder.layers.0.linear1.weight encoder.layers.0.linear1.bias
encoder.layers.0.linear2.weight encoder.layers.0.linear2.bias
encoder.layers.0.norm1.weight encoder.layers.0.norm1.bias
encoder.layers.0.norm2.weight encoder.layers.0.norm2.bias
encoder.norm.weight encoder.norm.bias
decoder.layers.0.self_attn.in_proj_weight
decoder.layers.0.self_attn.in_proj_bias
decoder.layers.0.self_attn.out_proj.weight
decoder.layers.0.self_attn.out_proj.bias
decoder.layers.0.multihead_attn.in_proj_weight
decoder.layers.0.multihead_attn.in_proj_bias
decoder.layers.0.multihead_attn.out_proj.weight
decoder.layers.0.multihead_attn.out_proj.bias
decoder.layers.0.linear1.weight decoder.layers.0.linear1.bias
decoder.layers.0.linear2.weight decoder.layers.0.linear2.bias
decoder.layers.0.norm1.weight decoder.layers.0.norm1.bias
decoder.layers.0.norm2.weight decoder.layers.0.norm2.bias
decoder.layers.0.norm3.weight decoder.layers.0.norm3.bias
decoder.norm.weight decoder.norm.bias
encoder_robot_state_input_proj.weight encoder_robot_state_input_proj.bias
encoder_env_state_input_proj.weight encoder_env_state_input_proj.bias
encoder_latent_input_proj.weight encoder_latent_input_proj.bias
encoder_1d_feature_pos_embed.weight decoder_pos_embed.weight
action_head.weight action_head.bias
"""


def test_order_without_vae_and_images() -> None:
  config = config_lib.default_config().model
  config.update(
    chunk_size=5,
    n_action_steps=5,
    width=16,
    heads=2,
    feedforward=24,
    encoder_layers=1,
    use_vae=False,
    pre_norm=True,
  )
  spec = features.Features((), 3, 4, 5)
  keys = lerobot_names.to_state_dict(
    jax.tree.map(lambda x: np.zeros(x.shape), parameters(config, spec))
  )
  groups = optimizer_state.order(sorted(keys))
  assert groups == ([f"model.{name}" for name in PRE_NORM_NO_VAE.split()], [])


def test_layers_are_ordered_as_numbers() -> None:
  keys = [f"model.encoder.layers.{i}.norm1.bias" for i in range(12)]
  assert optimizer_state.order(sorted(keys))[0] == keys


def test_every_bit_comes_back(tmp_path: pathlib.Path) -> None:
  params = template()
  adam, empty = optimizer_state.read(TRAINED, params)
  fresh = jax.eval_shape(
    lambda x: optimizer.init(config_lib.default_config(), x), params
  )
  jax.tree.map(
    np.testing.assert_array_equal, shapes(fresh), shapes((adam, empty))
  )
  groups = json.loads((TRAINED / optimizer_state.GROUPS).read_text())
  optimizer_state.write(
    tmp_path,
    {"mu": adam.mu, "nu": adam.nu, "count": adam.count},
    groups[0],
    (groups[0]["lr"], groups[1]["lr"]),
  )
  assert json.loads((tmp_path / optimizer_state.GROUPS).read_text()) == groups
  written = safetensors.numpy.load_file(tmp_path / optimizer_state.STATE)
  assert written.keys() == stored().keys()
  for name, value in stored().items():
    assert written[name].dtype == value.dtype
    assert written[name].shape == value.shape, name
    assert written[name].tobytes() == value.tobytes(), name


def shapes(tree: Any) -> Any:
  return jax.tree.map(lambda x: (*x.shape, str(x.dtype)), tree)


@pytest.fixture
def copied(tmp_path: pathlib.Path) -> pathlib.Path:
  for name in (optimizer_state.STATE, optimizer_state.GROUPS):
    shutil.copy(TRAINED / name, tmp_path)
  return tmp_path


def change(directory: pathlib.Path, **tensors: np.ndarray | None) -> None:
  path = directory / optimizer_state.STATE
  changed = {**stored(), **tensors}
  kept = {name: x for name, x in changed.items() if x is not None}
  safetensors.numpy.save_file(kept, path)


def test_state_before_the_first_step(copied: pathlib.Path) -> None:
  safetensors.numpy.save_file({}, copied / optimizer_state.STATE)
  adam, _ = optimizer_state.read(copied, template())
  assert adam.count == 0
  assert not any(np.any(x) for x in jax.tree.leaves((adam.mu, adam.nu)))


@pytest.mark.parametrize(
  ("tensors", "message"),
  [
    ({"state/3/step": np.array(7, "f4")}, "not all the same number"),
    ({"state/3/step": np.array(np.nan, "f4")}, "not all the same number"),
    ({"state/3/exp_avg": None}, "'state/3/exp_avg' is missing"),
    ({"state/3/exp_avg": np.zeros(2, "f4")}, r"has shape \(2,\)"),
    ({"state/9999/exp_avg": np.zeros(2, "f4")}, "has no place in AdamW"),
    ({"state/0/max_exp_avg_sq": np.zeros(2, "f4")}, "has no place in AdamW"),
  ],
)
def test_state_that_does_not_fit_is_refused(
  copied: pathlib.Path, tensors: dict[str, Any], message: str
) -> None:
  change(copied, **tensors)
  with pytest.raises(errors.UserError, match=message):
    optimizer_state.read(copied, template())


@pytest.mark.parametrize(
  ("groups", "message"),
  [
    ("[]", "does not number"),
    ("{}", "does not number"),
    ("7", "no groups"),
    ('[{"params": [0]}]', "no groups of AdamW"),
    ("[", "not JSON"),
  ],
)
def test_groups_that_do_not_fit_are_refused(
  copied: pathlib.Path, groups: str, message: str
) -> None:
  (copied / optimizer_state.GROUPS).write_text(groups)
  with pytest.raises(errors.UserError, match=message):
    optimizer_state.read(copied, template())


def test_truncated_state_is_refused(copied: pathlib.Path) -> None:
  path = copied / optimizer_state.STATE
  path.write_bytes(path.read_bytes()[:1000])
  with pytest.raises(errors.UserError, match="cannot be read"):
    optimizer_state.read(copied, template())
