"""Writes policies as LeRobot lays them out, of any generation, for tests."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import safetensors.numpy

from act import features as features_lib
from act import learner, lerobot_names, model

MODES = {"mean_std": "MEAN_STD", "min_max": "MIN_MAX", "identity": "IDENTITY"}
NAMES = {
  "state": "observation.state",
  "environment_state": "observation.environment_state",
  "action": "action",
}
PRE = "policy_preprocessor_step_3_normalizer_processor.safetensors"
POST = "policy_postprocessor_step_0_unnormalizer_processor.safetensors"
Json = dict[str, Any]


def theirs(name: str) -> str:
  """Returns LeRobot's name for a key of our statistics."""
  camera = name.removeprefix("images/")
  return NAMES.get(name, f"observation.images.{camera}")


def config_json(
  config: ml_collections.ConfigDict, spec: features_lib.Features
) -> Json:
  """Returns config.json."""
  chosen = config.model
  inputs: Json = {
    theirs(f"images/{camera}"): {"type": "VISUAL", "shape": [3, h, w]}
    for camera, (h, w, _) in spec.images
  }
  if spec.state_size:
    row = {"type": "STATE", "shape": [spec.state_size]}
    inputs["observation.state"] = row
  if spec.environment_state_size:
    row = {"type": "ENV", "shape": [spec.environment_state_size]}
    inputs["observation.environment_state"] = row
  modes = config.normalization
  return {
    "type": "act",
    "n_obs_steps": 1,
    "input_features": inputs,
    "output_features": {
      "action": {"type": "ACTION", "shape": [spec.action_size]}
    },
    "device": "cuda",
    "use_amp": False,
    "push_to_hub": True,
    "repo_id": "user/policy",
    "chunk_size": chosen.chunk_size,
    "n_action_steps": chosen.n_action_steps,
    "normalization_mapping": {
      "VISUAL": MODES.get(modes.images, "MEAN_STD"),
      "STATE": MODES[modes.state],
      "ACTION": MODES[modes.action],
    },
    "vision_backbone": chosen.backbone,
    "pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1",
    "replace_final_stride_with_dilation": 0,
    "pre_norm": chosen.pre_norm,
    "dim_model": chosen.width,
    "n_heads": chosen.heads,
    "dim_feedforward": chosen.feedforward,
    "feedforward_activation": chosen.activation,
    "n_encoder_layers": chosen.encoder_layers,
    "n_decoder_layers": chosen.decoder_layers,
    "use_vae": chosen.use_vae,
    "latent_dim": chosen.latent_size,
    "n_vae_encoder_layers": chosen.vae_encoder_layers,
    "temporal_ensemble_coeff": None,
    "dropout": chosen.dropout,
    "kl_weight": 10.0,
    "optimizer_lr": 2e-5,
    "optimizer_weight_decay": 1e-3,
    "optimizer_lr_backbone": 3e-5,
  }


def weights(
  config: ml_collections.ConfigDict,
  spec: features_lib.Features,
  state: learner.TrainState,
) -> dict[str, np.ndarray]:
  """Returns model.safetensors, without statistics."""
  found = lerobot_names.to_state_dict(state.params)
  found |= lerobot_names.to_state_dict(state.buffers)
  if config.model.use_vae:
    tokens = config.model.chunk_size + (2 if spec.state_size else 1)
    table = model.sinusoid_table(tokens, config.model.width)
    found["model.vae_encoder_pos_enc"] = table[None]
  return {key: np.ascontiguousarray(x) for key, x in found.items()}


def statistics(blocks: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
  """Returns them under LeRobot's names and in its shapes."""
  found: dict[str, dict[str, np.ndarray]] = {}
  for name, block in blocks.items():
    shape = (3, 1, 1) if name.startswith("images/") else (-1,)
    found[theirs(name)] = {
      key: np.asarray(x, np.float32).reshape(shape)
      for key, x in block.items()
      if np.ndim(x) == 1
    }
  return found


def today(
  place: pathlib.Path,
  written: Json,
  tensors: Mapping[str, np.ndarray],
  stats: Mapping[str, Mapping[str, np.ndarray]],
) -> pathlib.Path:
  """Writes a policy with processors; returns its directory."""
  features = written["input_features"] | written["output_features"]
  scaling = {
    "eps": 1e-8,
    "features": features,
    "norm_map": written["normalization_mapping"],
  }
  flat = {
    f"{name}.{key}": x
    for name, block in stats.items()
    for key, x in block.items()
  }
  flat["timestamp.mean"] = np.ones(1, np.float32)
  before = [
    step("rename_observations_processor", rename_map={}),
    step("to_batch_processor"),
    step("device_processor", device="cuda", float_dtype=None),
    step("normalizer_processor", **scaling) | {"state_file": PRE},
  ]
  after = [
    step("unnormalizer_processor", **scaling) | {"state_file": POST},
    step("device_processor", device="cpu", float_dtype=None),
  ]
  bare(place, written, tensors)
  for name, steps, file in (
    ("policy_preprocessor", before, PRE),
    ("policy_postprocessor", after, POST),
  ):
    save_json(place / f"{name}.json", {"name": name, "steps": steps})
    safetensors.numpy.save_file(flat, place / file)
  return place


def step(name: str, **config: Any) -> Json:
  """Returns a step of a processor."""
  return {"registry_name": name, "config": config}


def buffers(
  stats: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
  """Returns the statistics as v0.1 to v0.3 keep them among the weights."""
  found = {}
  for name, block in stats.items():
    groups = ("normalize_inputs",)
    if name == "action":
      groups = ("normalize_targets", "unnormalize_outputs")
    for group in groups:
      for key in ("mean", "std"):
        mangled = name.replace(".", "_")
        found[f"{group}.buffer_{mangled}.{key}"] = block[key].copy()
  return found


def hydra(written: Json) -> Json:
  """Returns config.json of 2024 for that of today."""
  old = {
    key: value
    for key, value in written.items()
    if key not in ("type", "normalization_mapping", "device", "use_amp")
    and not key.endswith("_features")
    and key not in ("push_to_hub", "repo_id")
    and not key.startswith("optimizer")
  }
  mapping = written["normalization_mapping"]
  for kind in ("input", "output"):
    table = written[f"{kind}_features"]
    old[f"{kind}_shapes"] = {n: x["shape"] for n, x in table.items()}
    old[f"{kind}_normalization_modes"] = {
      n: mapping[x["type"]].lower() for n, x in table.items()
    }
  return old


def bare(
  place: pathlib.Path, written: Json, tensors: Mapping[str, np.ndarray]
) -> pathlib.Path:
  """Writes configuration and weights alone; returns the directory."""
  place.mkdir(parents=True, exist_ok=True)
  save_json(place / "config.json", written)
  safetensors.numpy.save_file(
    dict(tensors), place / "model.safetensors", metadata={"format": "pt"}
  )
  return place


def save_json(path: pathlib.Path, value: Any) -> None:
  """Writes JSON."""
  path.write_text(json.dumps(value))
