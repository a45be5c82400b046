"""train_config.json, with which LeRobot 0.6.1 goes on training.

    lerobot-train --resume=true --config_path=.../pretrained_model

The fields are those of TrainPipelineConfig (`configs/train.py`,
`configs/default.py`, `transforms/`); it refuses others. What we do not model
has LeRobot's default, or the value that was imported.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from act.lerobot import from_config, trained_on

Json = dict[str, Any]

# LeRobot's own values of what a run of ours does not tell
_DEFAULTS: Json = {
  "dataset": {},
  "env": None,
  "policy": {},
  "reward_model": None,
  "output_dir": None,
  "job_name": None,
  "resume": False,
  "seed": 1000,
  "cudnn_deterministic": False,
  "num_workers": 4,
  "batch_size": 8,
  "prefetch_factor": 4,
  "persistent_workers": True,
  "dataloader_multiprocessing_context": "spawn",
  "steps": 100_000,
  "env_eval_freq": 20_000,
  "log_freq": 200,
  "eval_steps": 0,
  "max_eval_samples": 0,
  "tolerance_s": 1e-4,
  "save_checkpoint": True,
  "save_freq": 20_000,
  "use_policy_training_preset": True,
  "optimizer": {},
  "scheduler": None,
  "eval": {
    "n_episodes": 50,
    "batch_size": 1,
    "use_async_envs": True,
    "recording": False,
    "recording_repo_id": None,
    "recording_private": False,
  },
  "wandb": {
    "enable": False,
    "disable_artifact": False,
    "project": "lerobot",
    "entity": None,
    "notes": None,
    "run_id": None,
    "mode": None,
    "add_tags": True,
  },
  "peft": None,
  "job": {
    "target": None,
    "image": "huggingface/lerobot-gpu:latest",
    "timeout": "2d",
    "detach": False,
    "tags": [],
  },
  "save_checkpoint_to_hub": False,
  "sample_weighting": None,
  "rename_map": {},
  "checkpoint_path": None,
}
# fields of 0.6.2, and those above: what older versions called otherwise is not
# parsed any more
_LATER = ("checkpoint_format", "parallelism", "accelerator", "ema")
_KNOWN = (*_DEFAULTS, *_LATER)
_COLORS = ("brightness", "contrast", "saturation", "hue")


def convert(
  config: config_dict.ConfigDict,
  policy: Json,
  data: trained_on.Data,
  renamed: Mapping[str, str],
  repo_id: str,
  imported: Mapping[str, Any],
) -> Json:
  """Returns the values of train_config.json.

  Args:
    config: of the run.
    policy: of config.json.
    data: what it trained on.
    renamed: features of the data that the policy calls otherwise.
    repo_id: of the dataset to go on with; "" is the one trained on.
    imported: the train_config.json that the checkpoint came from, or nothing.
  """
  found = {
    **{key: imported[key] for key in imported if key in _KNOWN},
    **{k: x for k, x in _DEFAULTS.items() if k not in imported},
    "policy": policy,
    "seed": config.seed,
    "batch_size": config.batch_size,
    "steps": config.total_steps,
    "optimizer": _optimizer(config),
    "rename_map": dict(renamed),
  }
  before = imported.get("dataset")
  found["dataset"] = _dataset(
    config, data, repo_id, before if isinstance(before, Mapping) else {}
  )
  if not imported:
    found["log_freq"] = config.log_every_steps
    found["save_freq"] = config.checkpoint.every_steps
  return found


def _optimizer(config: config_dict.ConfigDict) -> Json:
  options = config.optimizer
  never = options.clip_norm >= from_config.NEVER_CLIPS
  clips = 0.0 if never else options.clip_norm  # LeRobot's 0 is none
  return {
    "type": "adamw",
    "lr": options.learning_rate,
    "weight_decay": options.weight_decay,
    "grad_clip_norm": clips,
    "betas": [options.beta1, options.beta2],
    "eps": options.epsilon,
  }


def _dataset(
  config: config_dict.ConfigDict,
  data: trained_on.Data,
  repo_id: str,
  imported: Mapping[str, Any],
) -> Json:
  found: Json = {
    "repo_id": data.identity or "unknown",
    "repo_type": "dataset",
    "root": data.root,
    "episodes": data.episodes,
    "image_transforms": _image_transforms(config.augmentation),
    "revision": data.commit,
    "use_imagenet_stats": config.normalization.images == "imagenet",
    "video_backend": "pyav",
    "return_uint8": False,
    "depth_output_unit": "mm",
    "streaming": False,
    # LeRobot would hold out other episodes than those of this run
    "eval_split": 0.0,
  }
  known = (*found, "exclude_episodes")
  found |= {key: imported[key] for key in imported if key in known}
  if repo_id:
    found |= {"repo_id": repo_id, "revision": None, "root": None}
  return found


def _image_transforms(config: config_dict.ConfigDict) -> Json:
  transforms = {
    **{name: ("ColorJitter", {name: list(config[name])}) for name in _COLORS},
    "sharpness": (
      "SharpnessJitter",
      {"sharpness": list(config.sharpness)},
    ),
    "affine": (
      "RandomAffine",
      {
        "degrees": [-config.affine_degrees, config.affine_degrees],
        "translate": [config.affine_translate, config.affine_translate],
      },
    ),
  }
  return {
    "enable": config.max_transforms > 0,
    "max_num_transforms": config.max_transforms or 3,  # LeRobot's default
    "random_order": False,
    "tfs": {
      name: {"weight": 1.0, "type": kind, "kwargs": options}
      for name, (kind, options) in transforms.items()
    },
  }
