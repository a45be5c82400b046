"""Names and layouts of foreign weights, against those in LeRobot's files."""

import numpy as np
import pytest

from act import lerobot_names
from carnet import errors


@pytest.mark.parametrize(
  ("path", "key"),
  [
    ("action_head/kernel", "action_head.weight"),
    ("query_position", "decoder_pos_embed.weight"),
    ("vector_position", "encoder_1d_feature_pos_embed.weight"),
    ("latent_projection/bias", "encoder_latent_input_proj.bias"),
    (
      "environment_state_projection/kernel",
      "encoder_env_state_input_proj.weight",
    ),
    ("vae_encoder/summary_token", "vae_encoder_cls_embed.weight"),
    (
      "vae_encoder/encoder/layer3/self_attention/input_kernel",
      "vae_encoder.layers.3.self_attn.in_proj_weight",
    ),
    ("encoder/norm/scale", "encoder.norm.weight"),
    (
      "decoder/layer0/cross_attention/output/kernel",
      "decoder.layers.0.multihead_attn.out_proj.weight",
    ),
    (
      "encoder/layer1/feedforward/expand/bias",
      "encoder.layers.1.linear1.bias",
    ),
    ("backbone/norm1/variance", "backbone.bn1.running_var"),
    (
      "backbone/stage4/block1/conv2/kernel",
      "backbone.layer4.1.conv2.weight",
    ),
    (
      "backbone/stage2/block0/downsample/norm/mean",
      "backbone.layer2.0.downsample.1.running_mean",
    ),
    (
      "backbone/stage2/block0/downsample/conv/kernel",
      "backbone.layer2.0.downsample.0.weight",
    ),
  ],
)
def test_keys(path: str, key: str) -> None:
  assert lerobot_names.key(path) == f"model.{key}"


@pytest.mark.parametrize(
  ("path", "shape"),
  [
    ("action_head/kernel", (2, 3)),
    ("image_projection/kernel", (2, 3, 1, 1)),
    ("backbone/conv1/kernel", (2, 3, 4, 5)),
    ("action_head/bias", (2,)),
    ("query_position", (2, 3)),
  ],
)
def test_layouts_come_back(path: str, shape: tuple[int, ...]) -> None:
  value = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
  ndim = 2 if path.startswith("image_projection") else value.ndim
  ours = lerobot_names.from_torch(value, path, ndim)
  back = lerobot_names.to_torch(ours, path)
  np.testing.assert_array_equal(back, value)
  assert back.flags.c_contiguous


def test_layouts() -> None:
  """Entry [out, in, row, column] goes to [row, column, in, out]."""
  linear = np.arange(6.0).reshape(2, 3)
  kernel = lerobot_names.from_torch(linear, "head/kernel", 2)
  assert kernel[2, 1] == linear[1, 2]
  convolution = np.arange(120.0).reshape(2, 3, 4, 5)
  kernel = lerobot_names.from_torch(convolution, "conv/kernel", 4)
  assert kernel[3, 4, 2, 1] == convolution[1, 2, 3, 4]
  pointwise = convolution[:, :, :1, :1]
  kernel = lerobot_names.from_torch(pointwise, "image_projection/kernel", 2)
  assert kernel[2, 1] == pointwise[1, 2, 0, 0]
  table = np.ones((4, 3))
  assert lerobot_names.from_torch(table, "query_position", 2) is table


@pytest.mark.parametrize(
  ("given", "says"),
  [
    ({}, "'model.action_head.weight' is missing"),
    ({"model.action_head.weight": np.ones((3, 2))}, r"shape \(3, 2\)"),
    ({"model.action_head.weight": np.full((2, 3), np.nan)}, "not finite"),
  ],
)
def test_misfits_are_named(given: dict[str, np.ndarray], says: str) -> None:
  template = {"action_head": {"kernel": np.zeros((3, 2))}}
  with pytest.raises(errors.UserError, match=f"model.safetensors.*{says}"):
    lerobot_names.to_tree(given, template, "model.safetensors")
