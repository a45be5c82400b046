"""A checkpoint of ours as an export needs it: verified, and fit for LeRobot."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import config_dict

from act import config as act_config
from act import features as features_lib
from act import lerobot_names, resnet
from act import model as model_lib
from carnet import checkpoint as checkpoint_lib
from carnet import config as config_lib
from carnet import errors, run_context
from carnet.checkpoint import (
  digest,
  directory,
  documents,
  manifest,
  plain_file,
)

TORCHVISION_WIDTHS = (64, 128, 256, 512)
_DECIDED = (
  "that was decided before the training: train with "
  "--config=configs/act/lerobot.py (not its variant :scratch), which sets "
  "--config.model.backbone=resnet18, --config.model.backbone_norm=frozen and "
  "torchvision's --config.model.backbone_weights, for a policy that LeRobot "
  "can run; this one carnet itself runs on the robot (carnet.policy.load)"
)
# papers, and the manifest that lists the digests of everything else
_PAPERS = (manifest.NAME, directory.PASSPORT, directory.SIGNOFF)


@dataclasses.dataclass(frozen=True)
class Policy:
  """What an export is made of.

  Attributes:
    path: the step directory.
    step: how many updates the parameters have seen.
    config: of the run.
    features: names and sizes, as the policy has them.
    statistics: feature -> name -> numbers, of stats.json.
    dataset: of dataset.json.
    params, buffers: the network.
    adam: "mu", "nu" and "count" of the optimizer.
    digests: sha256 of the manifest and of the papers that are there, and of
      all leaves together.
    lineage: where the run came from, as in the manifest.
    trained_on: its data, as run_context.json has them; None without one.
  """

  path: pathlib.Path
  step: int
  config: config_dict.ConfigDict
  features: features_lib.Features
  statistics: Mapping[str, Mapping[str, Any]]
  dataset: Mapping[str, Any]
  params: dict[str, Any]
  buffers: dict[str, Any]
  adam: dict[str, Any]
  digests: dict[str, str]
  lineage: tuple[Mapping[str, Any], ...]
  trained_on: run_context.Dataset | None = None


def read(path: pathlib.Path, any_widths: bool = False) -> Policy:
  """Returns the policy of a step directory, or of a workdir's newest step.

  Everything that is read is compared with the digests of the manifest.

  Raises:
    UserError: there is none, it is damaged, or LeRobot has no such policy.
  """
  step = directory.resolve(path)
  written = checkpoint_lib.read_json(step, "config.json")
  family = written.get("agent")
  if family != "act":
    known = {"dreamer": "DreamerV3"}.get(family, f"agent '{family}'")
    raise errors.UserError(
      f"{step} is a checkpoint of {known}, which LeRobot does not have: only "
      "ACT can be exported"
    )
  config = config_lib.from_json(written, act_config.default_config())
  features = features_lib.from_json(
    checkpoint_lib.read_json(step, "features.json")
  )
  check(config.model, features, any_widths)
  found = checkpoint_lib.read_manifest(step)
  agent = checkpoint_lib.read(step, components=("agent",))["agent"]
  return Policy(
    path=step,
    step=found.step,
    config=config,
    features=features,
    statistics=checkpoint_lib.read_json(step, "stats.json"),
    dataset=checkpoint_lib.read_json(step, "dataset.json"),
    params=agent["params"],
    buffers=agent.get("buffers", {}),
    adam=agent["optimizer"]["0"],
    digests=_digests(step) | {"leaves": found.tree_sha256},
    lineage=found.lineage,
    trained_on=_trained_on(step, found),
  )


def check(
  model: config_dict.ConfigDict,
  features: features_lib.Features,
  any_widths: bool,
) -> None:
  """Raises UserError where LeRobot cannot build the network."""
  if not features.images and not features.environment_state_size:
    raise errors.UserError(
      "this policy sees neither a camera nor a state of the environment, one "
      "of which LeRobot's ACT needs: it cannot be exported"
    )
  if not features.images:
    return
  if model.backbone not in resnet.RESNETS:
    raise errors.UserError(
      f'LeRobot has no backbone "{model.backbone}", and {_DECIDED}'
    )
  if model.backbone_norm != "frozen":
    raise errors.UserError(
      f'LeRobot has no backbone_norm "{model.backbone_norm}", and {_DECIDED}'
    )
  if model.backbone_widths != TORCHVISION_WIDTHS and not any_widths:
    raise errors.UserError(
      f"LeRobot builds torchvision's {model.backbone} alone, whose stages have "
      f"{TORCHVISION_WIDTHS} channels, this one {model.backbone_widths}: train "
      "with these, or give --any_widths for a directory that LeRobot as it is "
      "will not load"
    )


def state_dict(policy: Policy) -> dict[str, np.ndarray]:
  """Returns what LeRobot's `model.safetensors` has: weights and buffers."""
  found = {
    **lerobot_names.to_state_dict(policy.params),
    **lerobot_names.to_state_dict(policy.buffers),
  }
  options = policy.config.model
  if options.use_vae:  # a table here, a buffer there
    length = 1 + bool(policy.features.state_size) + options.chunk_size
    table = model_lib.sinusoid_table(length, options.width)
    found["model.vae_encoder_pos_enc"] = table[None]
  return found


def _trained_on(
  step: pathlib.Path, found: manifest.Manifest
) -> run_context.Dataset | None:
  if not any(file.path == run_context.NAME for file in found.files):
    return None
  stored = checkpoint_lib.read_json(step, run_context.NAME)
  where = f"{step}/{run_context.NAME}"
  context = run_context.parse(documents.encode(stored, where), where)
  return context.datasets[0] if context.datasets else None


def _digests(step: pathlib.Path) -> dict[str, str]:
  return {
    name: digest.data(plain_file.read(step / name))
    for name in _PAPERS
    if (step / name).exists()
  }
