"""An exported checkpoint against what LeRobot 0.6.1 itself wrote and computed.

The recorded numbers are of scripts/check_in_lerobot.py's environment: LeRobot
0.6.1 with torch 2.11, on the checkpoints that `a_checkpoint.py` makes.
"""

import hashlib
import json
import os
import pathlib
import struct
import sys
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import a_checkpoint
import variants

from act import features as features_lib
from act import model
from act.lerobot import exporting, importing, stored_policy
from carnet import checkpoint as checkpoint_lib

ALL = variants.all_of_them()
# sha256 of the sorted lines "key shape" of ACTPolicy(config).state_dict()
KEYS = {
  "stock": "9c7f4df30c8ec7b6cd0eb54c4433c988104318da7e78d876f7e2489c8a558168",
  "pre-norm, gelu, two decoder layers": (
    "cb79bcf4647713401302038b88568c252a6e0398d965b53112223dfcb7ca1e62"
  ),
  "no VAE, state of the environment, ranges": (
    "a9f60bb5b09753ea978f4710972576f20b74c45a224abf50a93438da886fd66f"
  ),
  "quantiles, resnet34": (
    "13d09e18bf154022e394941b9b566a1be0c00595b24206fdb7557da5ab44c843"
  ),
  "no camera": (
    "3a06e734e50754cd513c406fe5820b4d5630b708369660d0f72d079073793ceb"
  ),
  "resnet50, dilated, no state": (
    "d674ec77ebab737b043d9b1b62eeadc136e0cc23ee2a378c140a7cb9a85dc735"
  ),
}
# first and last action of a chunk, and three that are executed
VALUES = {
  "no camera": (
    [1.0350658893585205, 3.818941354751587, -0.11767742037773132],
    [1.0363324880599976, 3.9544100761413574, -0.13610967993736267],
    [
      [1.0350658893585205, 3.818941354751587, -0.11767742037773132],
      [1.035040259361267, 3.8183200359344482, -0.11346897482872009],
      [1.0355488061904907, 3.8635308742523193, -0.1202738881111145],
    ],
  ),
  "stock": (
    [1.0170087814331055, 5.205611705780029, -1.5922086238861084],
    [1.0170668363571167, 5.167915344238281, -1.6146538257598877],
    [
      [1.0170087814331055, 5.205611705780029, -1.5922086238861084],
      [1.0170176029205322, 5.19568395614624, -1.5969014167785645],
      [1.017045497894287, 5.183403015136719, -1.6067800521850586],
    ],
  ),
}
POLICY_FILES = {
  *("README.md", "carnet.json", "carnet_example.npz", "config.json"),
  *("model.safetensors", "train_config.json"),
  *("policy_preprocessor.json", "policy_postprocessor.json"),
  "policy_preprocessor_step_3_normalizer_processor.safetensors",
  "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
}
TRAINING_FILES = {
  *("optimizer_param_groups.json", "optimizer_state.safetensors"),
  *("rng_state.safetensors", "training_step.json"),
}


Pair = tuple[pathlib.Path, pathlib.Path]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
  """Returns a checkpoint and the step of LeRobot that it was exported to."""
  directory = tmp_path_factory.mktemp("pair")
  config = a_checkpoint.narrow(temporal_ensemble=True)
  step = a_checkpoint.save(directory / "run", config, a_checkpoint.SMALL)
  asked = exporting.Asked(any_widths=True)
  return step, exporting.export_policy(step, directory / "out", asked).parent


def read(path: pathlib.Path) -> Any:
  return json.loads(path.read_text())


def test_layout(pair: Pair) -> None:
  _, step = pair
  assert step.name == "000003"
  assert os.readlink(step.parent / "last") == "000003"
  names = {path.name for path in (step / "pretrained_model").iterdir()}
  assert names == POLICY_FILES
  names = {path.name for path in (step / "training_state").iterdir()}
  assert names == TRAINING_FILES
  beside = {path.name for path in step.parent.parent.parent.iterdir()}
  assert beside == {"run", "out"}  # no draft is left


@pytest.mark.parametrize("name", ALL)
def test_keys_and_shapes_are_those_of_lerobot(name: str) -> None:
  config, spec = ALL[name]
  trees = nnx.state(model.abstract(config.model, spec), nnx.Param, ...)
  params, buffers = (
    jax.tree.map(lambda x: np.zeros(x.shape, np.float32), tree)
    for tree in map(nnx.to_pure_dict, trees)
  )
  policy = stored_policy.Policy(
    path=pathlib.Path(),
    step=0,
    config=config,
    features=spec,
    statistics={},
    dataset={},
    params=params,
    buffers=buffers,
    adam={},
    digests={},
    lineage=(),
  )
  stored_policy.check(config.model, spec, any_widths=False)
  found = stored_policy.state_dict(policy)
  lines = sorted(f"{key} {x.shape}\n" for key, x in found.items())
  digest = hashlib.sha256("".join(lines).encode()).hexdigest()
  assert digest == KEYS[name]


def test_weights_are_float32_of_torch(pair: Pair) -> None:
  with (pair[1] / "pretrained_model/model.safetensors").open("rb") as file:
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
  assert header.pop("__metadata__") == {"format": "pt"}
  assert {row["dtype"] for row in header.values()} == {"F32"}


@pytest.mark.parametrize(
  "name", ["no camera", pytest.param("stock", marks=pytest.mark.slow)]
)
def test_values_are_those_of_lerobot(tmp_path: pathlib.Path, name: str) -> None:
  """Which read these very files, processors, queue and ensembling included."""
  step = a_checkpoint.save(tmp_path / "run", *ALL[name])
  pretrained = exporting.export_policy(step, tmp_path / "out")
  with np.load(pretrained / "carnet_example.npz") as file:
    example = dict(file)
  chunk, scale = example["output/chunk"], example["output/scale"]
  ours = (chunk[0, 0], chunk[2, -1], example["output/executed"])
  for found, theirs in zip(ours, VALUES[name], strict=True):
    assert np.all(np.abs(found - np.array(theirs)) <= 1e-5 * scale)
  assert np.all(scale < 10)


def test_example_has_what_lerobot_sees(pair: Pair) -> None:
  with np.load(pair[1] / "pretrained_model/carnet_example.npz") as file:
    example = dict(file)
  shapes = {name: (*x.shape, x.dtype.name) for name, x in example.items()}
  assert shapes == {
    "input/observation.images.top": (3, 3, 32, 48, "uint8"),
    "input/observation.images.wrist": (3, 3, 32, 48, "uint8"),
    "input/observation.state": (3, 4, "float32"),
    "output/chunk": (3, 6, 3, "float32"),
    "output/executed": (3, 3, "float32"),
    "output/scale": (3, "float32"),
  }


def test_training_state(pair: Pair) -> None:
  training = pair[1] / "training_state"
  step = read(training / "training_step.json")
  assert (step["step"], step["batch_size"], step["num_processes"]) == (3, 8, 1)
  moments = safetensors.numpy.load_file(
    training / "optimizer_state.safetensors"
  )
  assert {float(x) for n, x in moments.items() if n.endswith("step")} == {3.0}
  groups = read(training / "optimizer_param_groups.json")
  assert [group["lr"] for group in groups] == [1e-5, 1e-5]


def test_provenance(pair: Pair) -> None:
  step, exported = pair
  found = read(exported / "pretrained_model/carnet.json")
  manifest = hashlib.sha256((step / "manifest.json").read_bytes()).hexdigest()
  assert found["sha256"]["manifest.json"] == manifest
  leaves = checkpoint_lib.read_manifest(step).tree_sha256
  assert found["sha256"]["leaves"] == leaves
  assert found["dataset"]["identity"] == "user/so101"
  for name, sha256 in found["files"].items():
    content = (exported / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == sha256, name
  card = (exported / "pretrained_model/README.md").read_text()
  assert manifest in card
  assert "`user/so101`" in card


def test_what_comes_back_is_the_same(
  pair: Pair, tmp_path: pathlib.Path
) -> None:
  """Out and in again: every leaf, and the statistics as they are used."""
  step, exported = pair
  back = importing.import_policy(
    str(exported.parent.parent), tmp_path / "back", importing.Asked()
  )
  ours, theirs = (
    jax.tree_util.tree_leaves_with_path(checkpoint_lib.read(x)["agent"])
    for x in (step, back)
  )
  assert [path for path, _ in ours] == [path for path, _ in theirs]
  for (path, before), (_, after) in zip(ours, theirs, strict=True):
    assert before.dtype == after.dtype, path
    assert before.tobytes() == after.tobytes(), path
  check_statistics(step, back)
  before, after = (
    checkpoint_lib.read_json(x, "config.json") for x in (step, back)
  )
  before["normalization"]["minimum_std"] = 0.0  # part of the statistics now
  before["model"]["n_action_steps"] = 1  # as LeRobot wants with ensembling
  for group in ("model", "normalization", "optimizer", "augmentation"):
    if group == "augmentation":  # off, here as there
      assert not after[group]["max_transforms"]
    else:
      assert after[group] == before[group]
  for key in ("seed", "batch_size", "total_steps"):
    assert after[key] == before[key]
  names = checkpoint_lib.read_json(back, "features.json")
  assert features_lib.from_json(names) == a_checkpoint.SMALL


def check_statistics(step: pathlib.Path, back: pathlib.Path) -> None:
  before = checkpoint_lib.read_json(step, "stats.json")
  after = checkpoint_lib.read_json(back, "stats.json")
  for feature in ("state", "action"):
    block = {k: np.asarray(x, "f4") for k, x in before[feature].items()}
    assert block["std"][0] < 0.01  # the joint that hardly moves
    block["std"] = np.maximum(block["std"], np.float32(0.01))
    assert after[feature].keys() == block.keys()
    for name, numbers in block.items():
      np.testing.assert_array_equal(np.float32(after[feature][name]), numbers)
