"""What our configuration and statistics become in LeRobot's files."""

import json
import os
import pathlib
import sys
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import a_checkpoint

from act import features as features_lib
from act.lerobot import (
  processors,
  provenance,
  stored_policy,
  to_config,
)
from carnet import errors

DEFAULT = pathlib.Path(__file__).parents[2] / "fixtures/lerobot_act_tiny"
FIXTURES = pathlib.Path(os.environ.get("ACT_FIXTURES", DEFAULT))
[TRAINED] = FIXTURES.glob("run/checkpoints/[0-9]*/pretrained_model")
SPEC = a_checkpoint.FEATURES


def names(
  dataset: dict[str, Any] | None = None,
  spec: features_lib.Features = SPEC,
  **config: Any,
) -> to_config.Names:
  options = a_checkpoint.config(dataset=config).dataset
  stored = a_checkpoint.DATASET if dataset is None else dataset
  return to_config.names(spec, options, stored)


def written(
  model: dict[str, Any] | None = None,
  spec: features_lib.Features = SPEC,
  imported: dict[str, Any] | None = None,
  **groups: dict[str, Any],
) -> dict[str, Any]:
  config = a_checkpoint.config(model, **groups)
  chosen = to_config.names(spec, config.dataset, a_checkpoint.DATASET)
  return to_config.convert(config, spec, chosen, imported or {})


def test_fields_and_their_order_are_those_of_lerobot() -> None:
  theirs = json.loads((TRAINED / "config.json").read_text())
  assert list(written()) == list(theirs)
  assert next(iter(written())) == "type"


def test_configuration() -> None:
  found = written({"pre_norm": True, "n_action_steps": 2, "dropout": 0.25})
  assert found["dim_model"] == 16
  assert found["pre_norm"] is True
  assert found["n_action_steps"] == 2
  assert found["temporal_ensemble_coeff"] is None
  assert found["dropout"] == 0.25
  assert found["vision_backbone"] == "resnet18"
  assert found["input_features"] == {
    "observation.images.top": {"type": "VISUAL", "shape": [3, 96, 128]},
    "observation.images.wrist": {"type": "VISUAL", "shape": [3, 96, 128]},
    "observation.state": {"type": "STATE", "shape": [4]},
  }
  assert found["output_features"] == {
    "action": {"type": "ACTION", "shape": [3]}
  }


def test_ensembling_executes_one_action() -> None:
  found = written(
    {"temporal_ensemble": True, "temporal_ensemble_coefficient": -0.5}
  )
  assert found["n_action_steps"] == 1
  assert found["temporal_ensemble_coeff"] == -0.5


def test_state_of_the_environment_is_scaled_too() -> None:
  """LeRobot leaves it alone unless the mapping has it."""
  spec = features_lib.Features((), 3, 4, 5)
  found = written(None, spec, normalization={"state": "quantiles"})
  assert found["normalization_mapping"] == {
    "VISUAL": "MEAN_STD",
    "STATE": "QUANTILES",
    "ACTION": "MEAN_STD",
    "ENV": "QUANTILES",
  }
  assert found["input_features"]["observation.environment_state"] == {
    "type": "ENV",
    "shape": [5],
  }


def test_names_of_other_data_are_those_that_export_dataset_gives() -> None:
  dataset = {"names": {"images/top": "cam_high", "qpos": "qpos"}}
  found = names(dataset, state="qpos")
  assert found.cameras == {
    "top": "observation.images.cam_high",
    "wrist": "observation.images.wrist",
  }
  assert not found.renamed
  found = names({}, state="qvel")
  assert found.cameras["top"] == "observation.images.top"
  assert found.renamed == {"observation.velocity": "observation.state"}


def test_names_that_lerobot_does_not_know_are_renamed() -> None:
  dataset = {
    "names": {
      "images/top": "observation.images.cam_high",
      "joints": "observation.joints",
    }
  }
  found = names(dataset, state="joints")
  assert found.cameras["top"] == "observation.images.cam_high"
  assert found.renamed == {"observation.joints": "observation.state"}
  before, after = processors.documents(written(), found.renamed, 1e-8)
  assert before["steps"][0]["config"] == {"rename_map": found.renamed}
  assert "rename" not in json.dumps(after)


def test_cameras_of_an_imported_policy_keep_their_names() -> None:
  """Their data may call them otherwise: a preprocessor renamed them."""
  dataset = {
    "names": {"images/top": "observation.images.front"},
    "lerobot": {"config": written()},
  }
  found = names(dataset)
  assert found.cameras["top"] == "observation.images.top"
  assert found.renamed == {"observation.images.front": "observation.images.top"}


def test_two_cameras_of_one_name_are_refused() -> None:
  dataset = {"names": {"images/top": "observation.images.wrist"}}
  with pytest.raises(errors.UserError, match="one name to LeRobot"):
    names(dataset)


def test_order_of_cameras_is_the_policys() -> None:
  imported = written()
  inputs = imported["input_features"]
  reordered = {name: inputs[name] for name in reversed(inputs)}
  found = written(imported={"input_features": reordered})
  assert list(found["input_features"]) == list(inputs)
  state_first = sorted(inputs, key=lambda name: name != "observation.state")
  kept = {name: inputs[name] for name in state_first}
  found = written(imported={"input_features": kept})
  assert list(found["input_features"]) == state_first


def test_what_we_do_not_model_comes_back() -> None:
  imported = {"device": "cuda", "license": "mit", "dim_model": 7, "x": 1}
  found = written(imported=imported)
  assert (found["device"], found["license"]) == ("cuda", "mit")
  assert found["dim_model"] == 16
  assert "x" not in found


def state(**options: Any) -> dict[str, np.ndarray]:
  config = a_checkpoint.config(normalization=options)
  return processors.state(
    SPEC, names(), a_checkpoint.blocks(SPEC), config.normalization
  )


def test_floor_is_part_of_the_numbers() -> None:
  stored = np.float32(a_checkpoint.blocks(SPEC)["action"]["std"])
  assert stored[0] < 0.01
  found = state()["action.std"]
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, np.maximum(stored, np.float32(0.01)))
  np.testing.assert_array_equal(state(minimum_std=0.0)["action.std"], stored)
  ranged = state(action="min_max")  # which has no floor
  np.testing.assert_array_equal(ranged["action.std"], stored)


def test_images_by_imagenet_or_by_the_data() -> None:
  found = state()
  mean = found["observation.images.top.mean"]
  np.testing.assert_array_equal(
    mean, np.float32([0.485, 0.456, 0.406]).reshape(3, 1, 1)
  )
  blocks = a_checkpoint.blocks(SPEC)
  mean = state(images="mean_std")["observation.images.wrist.mean"]
  np.testing.assert_array_equal(
    mean.ravel(), np.float32(blocks["images/wrist"]["mean"])
  )


def test_all_statistics_are_written() -> None:
  statistics = {name.rpartition(".")[2] for name in state()}
  assert statistics == {
    *("mean", "std", "min", "max", "q01", "q10", "q90", "q99")
  }
  features = {name.rpartition(".")[0] for name in state()}
  assert features == {
    *("observation.images.top", "observation.images.wrist"),
    *("observation.state", "action"),
  }


def test_epsilon_of_both_processors() -> None:
  before, after = processors.documents(written(), {}, 1e-6)
  assert before["steps"][3]["config"]["eps"] == 1e-6
  assert after["steps"][0]["config"]["eps"] == 1e-6
  assert before["steps"][3]["state_file"] == processors.PREPROCESSOR_STATE
  assert after["steps"][0]["state_file"] == processors.POSTPROCESSOR_STATE


def notes(spec: features_lib.Features = SPEC, **groups: dict[str, Any]) -> str:
  config = a_checkpoint.config(None, **groups)
  policy = stored_policy.Policy(
    path=pathlib.Path(),
    step=1,
    config=config,
    features=spec,
    statistics={},
    dataset={},
    params={},
    buffers={},
    adam={},
    digests={},
    lineage=(),
  )
  return "; ".join(
    provenance.notes(policy, to_config.names(spec, config.dataset, {}))
  )


def test_what_is_lost_is_told() -> None:
  assert notes() == ""
  assert "looks at observation.state" in notes(
    features_lib.Features(SPEC.images, 3)
  )
  assert "learning rate" in notes(optimizer={"schedule": "cosine"})
  assert "padded actions" in notes(loss={"reduction": "all"})
  assert "every frame" in notes(dataset={"sampling": "episodes"})
  assert "crop" in notes(augmentation={"max_transforms": 1, "crop": 0.9})
