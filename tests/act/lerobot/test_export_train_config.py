"""What our configuration becomes in LeRobot's train_config.json."""

import json
import os
import pathlib
import sys
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import a_checkpoint

from act.lerobot import train_config, trained_on

DEFAULT = pathlib.Path(__file__).parents[2] / "fixtures/lerobot_act_tiny"
FIXTURES = pathlib.Path(os.environ.get("ACT_FIXTURES", DEFAULT))
[TRAINED] = FIXTURES.glob("run/checkpoints/[0-9]*/pretrained_model")
POLICY = {"type": "act"}  # whatever config.json has
# TrainPipelineConfig of LeRobot 0.6.1, as draccus writes it
FIELDS_0_6_1 = """
dataset env policy reward_model output_dir job_name resume seed
cudnn_deterministic num_workers batch_size prefetch_factor persistent_workers
dataloader_multiprocessing_context steps env_eval_freq log_freq eval_steps
max_eval_samples tolerance_s save_checkpoint save_freq
use_policy_training_preset optimizer scheduler eval wandb peft job
save_checkpoint_to_hub sample_weighting rename_map checkpoint_path
"""
DATASET_FIELDS = """
repo_id repo_type root episodes image_transforms revision use_imagenet_stats
video_backend return_uint8 depth_output_unit streaming eval_split
"""


def trained(
  dataset: dict[str, Any] | None = None,
  imported: dict[str, Any] | None = None,
  repo_id: str = "",
  **groups: dict[str, Any],
) -> dict[str, Any]:
  config = a_checkpoint.config(None, **groups)
  return train_config.convert(
    config,
    POLICY,
    trained_on.of(config.dataset, dataset or a_checkpoint.DATASET, None),
    {},
    repo_id,
    imported or {},
  )


def test_training_fields_are_those_of_lerobot() -> None:
  found = trained()
  assert list(found) == FIELDS_0_6_1.split()
  assert list(found["dataset"]) == DATASET_FIELDS.split()
  assert found["policy"] == POLICY
  assert found["optimizer"] == {
    "type": "adamw",
    "lr": 1e-5,
    "weight_decay": 1e-4,
    "grad_clip_norm": 10.0,
    "betas": [0.9, 0.999],
    "eps": 1e-8,
  }


def test_defaults_are_those_that_lerobot_recorded() -> None:
  """Where both say something that no run changes."""
  theirs = json.loads((TRAINED / "train_config.json").read_text())
  ours = trained()
  told = {"dataset", "policy", "seed", "batch_size", "steps", "output_dir"}
  told |= {"log_freq", "save_freq", "optimizer"}
  for key in FIELDS_0_6_1.split():
    if key in theirs and key not in told:
      assert ours[key] == theirs[key], key
  theirs["dataset"]["image_transforms"]["enable"] = False
  assert (
    ours["dataset"]["image_transforms"]
    == (theirs["dataset"]["image_transforms"])
  )


def test_data_of_the_hub_are_pinned() -> None:
  commit = "0123456789" * 4
  origin = f"lerobot:user/so101@{commit}"
  found = trained({"task": "user/so101", "source": {"origin": origin}})
  assert found["dataset"]["repo_id"] == "user/so101"
  assert found["dataset"]["revision"] == commit
  found = trained({"source": {"origin": origin}}, repo_id="me/other")
  assert found["dataset"]["repo_id"] == "me/other"
  assert found["dataset"]["revision"] is None


def test_augmentation_goes_along() -> None:
  found = trained(
    augmentation={
      "max_transforms": 2,
      "hue": (-0.1, 0.2),
      "affine_degrees": 9.0,
    }
  )["dataset"]["image_transforms"]
  assert (found["enable"], found["max_num_transforms"]) == (True, 2)
  assert found["tfs"]["hue"]["kwargs"] == {"hue": [-0.1, 0.2]}
  assert found["tfs"]["affine"]["kwargs"]["degrees"] == [-9.0, 9.0]


def test_imported_training_fields_come_back() -> None:
  imported = {
    "num_workers": 11,
    "eval_freq": 5,  # of 0.5: 0.6.1 calls it env_eval_freq and refuses this
    "ema": {"enable": False},
    "dataset": {"root": "/data", "eval_split": 0.1, "old": 1},
  }
  found = trained(imported=imported)
  assert found["num_workers"] == 11
  assert found["ema"] == {"enable": False}
  assert "eval_freq" not in found
  assert found["dataset"]["root"] == "/data"
  assert "old" not in found["dataset"]
