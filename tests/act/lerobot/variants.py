"""Policies that LeRobot can build, each with a name."""

import a_checkpoint
import ml_collections

from act import features as features_lib

ONE = (("top", (96, 128, 3)),)
TWO_SIZES = (("top", (96, 128, 3)), ("wrist", (64, 96, 3)))
Variant = tuple[ml_collections.ConfigDict, features_lib.Features]


def all_of_them() -> dict[str, Variant]:
  """Returns name -> configuration and features."""
  make, spec = a_checkpoint.config, features_lib.Features
  environment = {"environment_state": "environment_state"}
  return {
    "stock": (
      make({"n_action_steps": 2}),
      a_checkpoint.FEATURES,
    ),
    "pre-norm, gelu, two decoder layers": (
      make({"pre_norm": True, "activation": "gelu", "decoder_layers": 2}),
      a_checkpoint.FEATURES,
    ),
    "no VAE, state of the environment, ranges": (
      make(
        {"use_vae": False, "n_action_steps": 1},
        dataset=environment,
        normalization={
          "state": "min_max",
          "action": "min_max",
          "images": "mean_std",
        },
      ),
      spec(TWO_SIZES, 3, 4, 5),
    ),
    "quantiles, resnet34": (
      make(
        {"backbone": "resnet34"},
        normalization={
          "state": "quantiles",
          "action": "quantile10",
          "images": "identity",
        },
      ),
      a_checkpoint.FEATURES,
    ),
    "no camera": (
      make(
        {"temporal_ensemble": True},
        dataset=environment,
        normalization={"minimum_std": 0.05},
      ),
      spec((), 3, 4, 5),
    ),
    "resnet50, dilated, no state": (
      make(
        {"backbone": "resnet50", "replace_final_stride_with_dilation": True},
        dataset={"state": ""},
      ),
      spec(ONE, 3),
    ),
  }
