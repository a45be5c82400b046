"""Imported policies answer as LeRobot's do, on its recorded numbers.

`ACT_FIXTURES` names the set, whose old layouts lie beside it under the suffix
_legacy; the original's .ckpt and .pkl are written here of the tensors there.
"""

import functools
import json
import os
import pathlib
import pickle
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import write_torch

from act import config as config_lib
from act import evaluation, features, learner, normalize
from act.lerobot import importing, policy_statistics
from carnet import checkpoint as checkpoint_lib
from carnet import config as json_lib

pytestmark = pytest.mark.parity

DEFAULT = pathlib.Path(__file__).parents[2] / "fixtures/lerobot_act_tiny"
FIXTURES = pathlib.Path(os.environ.get("ACT_FIXTURES", DEFAULT))
OLD = FIXTURES.with_name(f"{FIXTURES.name}_legacy")
TRAINED = next(FIXTURES.glob("run/checkpoints/*/pretrained_model"))
IMAGENET = {
  "mean": np.array((0.485, 0.456, 0.406), np.float32),
  "std": np.array((0.229, 0.224, 0.225), np.float32),
}
old_layouts = pytest.mark.skipif(
  not OLD.is_dir(), reason="this set has no old layouts"
)


@functools.cache
def arrays(name: str) -> dict[str, np.ndarray]:
  with np.load(FIXTURES / name) as file:
    return dict(file)


class Imported:
  """A checkpoint, read as any other."""

  def __init__(self, step: pathlib.Path) -> None:
    self.config = json_lib.from_json(
      checkpoint_lib.read_json(step, "config.json"), config_lib.default_config()
    )
    self.features = features.from_json(
      checkpoint_lib.read_json(step, "features.json")
    )
    self.statistics = checkpoint_lib.read_json(step, "stats.json")
    self.agent = checkpoint_lib.read(step, components=("agent",))["agent"]
    self.names = checkpoint_lib.read_json(step, "dataset.json")["names"]

  def raw(self) -> dict[str, Any]:
    """Returns the recorded inputs as a batch."""
    stored = arrays("inputs_raw.npz")
    batch: dict[str, Any] = {}
    if self.features.images:
      batch["images"] = {
        camera: stored[self.names[f"images/{camera}"]].transpose(0, 2, 3, 1)
        for camera in self.features.cameras
      }
    for key in ("state", "environment_state"):
      if chosen := self.config.dataset[key]:
        batch[key] = stored[self.names[chosen]]
    return batch

  def actions(self, batch: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns normalised actions, and those in the units of the data."""
    options = self.config.normalization
    batch = normalize.batch(batch, self.statistics, options)
    model = json.dumps(json_lib.to_json(self.config)["model"])
    run = network(model, self.features)
    normalised = run(self.agent["params"], self.agent.get("buffers", {}), batch)
    return np.asarray(normalised), np.asarray(
      normalize.actions_inverse(normalised, self.statistics, options)
    )


@functools.cache
def network(model: str, spec: features.Features) -> Any:
  """Returns the network, compiled once for all layouts."""
  config = json_lib.from_json(
    {"model": json.loads(model)}, config_lib.default_config()
  )

  @jax.jit
  def run(params: Any, buffers: Any, batch: Any) -> jax.Array:
    return learner.apply(config, spec, params, buffers, batch, False).actions

  return run


def import_from(
  place: pathlib.Path, workdir: pathlib.Path, **asked: Any
) -> pathlib.Path:
  return importing.import_policy(str(place), workdir, importing.Asked(**asked))


def close(ours: Any, theirs: np.ndarray) -> None:
  np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-5, atol=1e-5)


def stored_statistics() -> dict[str, np.ndarray]:
  document = json.loads((TRAINED / policy_statistics.PREPROCESSOR).read_text())
  [name] = [s["state_file"] for s in document["steps"] if "state_file" in s]
  return safetensors.numpy.load_file(TRAINED / name)


def check_statistics(found: Imported) -> None:
  """Asserts that every number is LeRobot's, to the bit."""
  keys = {"state": "state", "environment_state": "environment_state"}
  ours = {f"images/{c}": f"images/{c}" for c in found.features.cameras}
  ours |= {found.config.dataset[k]: k for k in keys if found.config.dataset[k]}
  ours |= {"action": "action"}
  compared = 0
  for key, numbers in stored_statistics().items():
    feature, _, name = key.rpartition(".")
    for policy_name, theirs in found.names.items():
      if theirs == feature and name in policy_statistics.NAMES:
        block = found.statistics[ours[policy_name]]
        np.testing.assert_array_equal(
          np.asarray(block[name], np.float32), numbers.reshape(-1)
        )
        compared += 1
  assert compared >= 2  # of the action, unless nothing is scaled


def test_the_trained_policy(tmp_path: pathlib.Path) -> None:
  found = Imported(import_from(FIXTURES / "run", tmp_path / "run"))
  check_statistics(found)
  theirs = arrays("outputs_eval_after_3_steps.npz")["actions_normalised"]
  normalised, actions = found.actions(found.raw())
  close(normalised, theirs)
  stored = stored_statistics()
  mapping = json.loads((TRAINED / "config.json").read_text())
  if mapping["normalization_mapping"]["ACTION"] == "MEAN_STD":
    close(actions, theirs * stored["action.std"] + stored["action.mean"])


@pytest.mark.slow  # compiles the network once more
def test_the_policy_that_is_evaluated(tmp_path: pathlib.Path) -> None:
  """`act.evaluation.load`, fed with one raw observation after the other."""
  step = import_from(FIXTURES / "run", tmp_path / "run")
  found, acting = Imported(step), evaluation.load(step).policy
  raw = found.raw()
  seen = {f"images/{name}": x for name, x in raw.pop("images", {}).items()}
  seen |= {found.config.dataset[name]: x for name, x in raw.items()}
  _, action = acting.act(acting.init(2), seen, jax.random.key(0))
  close(action, found.actions(found.raw())[1][:, 0])


def test_the_weights_before_training(tmp_path: pathlib.Path) -> None:
  """With the outputs that LeRobot's own processors gave."""
  place = tmp_path / "theirs"
  shutil.copytree(FIXTURES / "step0", place)
  for path in TRAINED.glob("policy_*"):
    shutil.copy(path, place)
  found = Imported(import_from(place, tmp_path / "run"))
  normalised, actions = found.actions(found.raw())
  close(normalised, arrays("outputs_eval.npz")["actions_normalised"])
  close(actions, arrays("outputs_eval.npz")["actions_unnormalised"])


@old_layouts
def test_statistics_in_the_weights(tmp_path: pathlib.Path) -> None:
  found = Imported(import_from(OLD, tmp_path / "run"))
  check_statistics(found)
  normalised, actions = found.actions(found.raw())
  close(normalised, arrays("outputs_eval.npz")["actions_normalised"])
  close(actions, arrays("outputs_eval.npz")["actions_unnormalised"])


def write_original(place: pathlib.Path) -> dict[str, np.ndarray]:
  """Writes policy_best.ckpt and dataset_stats.pkl; returns the statistics."""
  place.mkdir()
  write_torch.save(
    place / "policy_best.ckpt",
    safetensors.numpy.load_file(OLD / "original_act_state_dict.safetensors"),
  )
  stored = stored_statistics()
  statistics = {
    f"{theirs}_{name}": stored[f"{feature}.{name}"]
    for theirs, feature in (("qpos", "observation.state"), ("action", "action"))
    for name in ("mean", "std")
  }
  statistics["example_qpos"] = np.zeros((5, 14))
  with (place / "dataset_stats.pkl").open("wb") as file:
    pickle.dump(statistics, file)
  return statistics


@old_layouts
def test_the_original(tmp_path: pathlib.Path) -> None:
  statistics = write_original(tmp_path / "theirs")
  lerobot = Imported(import_from(FIXTURES / "run", tmp_path / "lerobot"))
  (height, width, _) = lerobot.features.images[0][1]
  found = Imported(
    import_from(
      tmp_path / "theirs",
      tmp_path / "run",
      cameras=lerobot.features.cameras,
      height=height,
      width=width,
      heads=lerobot.config.model.heads,
    )
  )
  assert found.features == lerobot.features
  assert found.config.model.backbone == lerobot.config.model.backbone
  assert found.config.normalization.images == "imagenet"
  assert found.config.loss.reduction == "all"
  for theirs, ours in (("qpos", "state"), ("action", "action")):
    for name in ("mean", "std"):
      np.testing.assert_array_equal(
        np.asarray(found.statistics[ours][name], np.float32),
        statistics[f"{theirs}_{name}"],
      )
  # it scales images by ImageNet's numbers, and so do not the recorded ones
  wanted = arrays("inputs_normalised.npz")
  batch = {
    "state": arrays("inputs_raw.npz")["observation.state"],
    "images": {
      camera: jnp.asarray(
        wanted[lerobot.names[f"images/{camera}"]].transpose(0, 2, 3, 1)
        * IMAGENET["std"]
        + IMAGENET["mean"]
      )
      for camera in found.features.cameras
    },
  }
  normalised, actions = found.actions(batch)
  close(normalised, arrays("outputs_eval.npz")["actions_normalised"])
  close(actions, arrays("outputs_eval.npz")["actions_unnormalised"])


def test_the_optimizer_comes_along(tmp_path: pathlib.Path) -> None:
  found = Imported(import_from(FIXTURES / "run", tmp_path / "run"))
  training = TRAINED.parent / "training_state"
  step = json.loads((training / "training_step.json").read_text())["step"]
  assert found.agent["step"] == step
  stored = safetensors.numpy.load_file(training / "optimizer_state.safetensors")
  for ours, theirs in (("mu", "exp_avg"), ("nu", "exp_avg_sq")):
    leaves = [
      x
      for path, x in jax.tree_util.tree_leaves_with_path(
        found.agent["optimizer"]
      )
      if ours in jax.tree_util.keystr(path)
    ]
    kept = [x for key, x in stored.items() if key.endswith(f"/{theirs}")]
    assert len(leaves) == len(kept)
    total = sum(float(np.sum(np.abs(x), dtype=np.float64)) for x in leaves)
    expected = sum(float(np.sum(np.abs(x), dtype=np.float64)) for x in kept)
    assert total == pytest.approx(expected, rel=1e-6)
