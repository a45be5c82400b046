"""The original ACT's two pickles: read as numbers, and refused otherwise."""

import functools
import pathlib
import pickle
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import a_checkpoint
import write_lerobot
import write_torch

from act import config as config_lib
from act import features as features_lib
from act.lerobot import importing, original
from carnet import checkpoint as checkpoint_lib
from carnet import config as json_lib
from carnet import errors

SPEC = features_lib.Features(
  images=(("top", (64, 64, 3)),), action_size=3, state_size=4
)
ASKED = {"cameras": ("top",), "height": 64, "width": 64, "heads": 2}
# LeRobot's beginnings -> theirs, longest first
BACK = {
  f"model.{lerobot}": theirs
  for theirs, lerobot in sorted(
    original._HEADS.items(), key=lambda pair: -len(pair[1])
  )
}


@functools.cache
def tensors() -> dict[str, np.ndarray]:
  """Returns a small policy as the original's code would save it."""
  config = a_checkpoint.narrow()
  state = a_checkpoint.random_state(config, SPEC, 0)
  found = {}
  for key, array in write_lerobot.weights(config, SPEC, state).items():
    for head, theirs in BACK.items():
      if key.startswith(head):
        found[f"model.{theirs}{key.removeprefix(head)}"] = array
        break
    else:
      assert key == "model.vae_encoder_pos_enc"
      found["model.pos_table"] = array
  layer = "model.transformer.decoder.layers"
  unused = {
    key.replace(f"{layer}.0", f"{layer}.{number}"): array
    for key, array in found.items()
    for number in range(1, 7)
    if key.startswith(f"{layer}.0")
  }
  return found | unused | {"model.is_pad_head.bias": np.ones(1, np.float32)}


STATISTICS = {
  "qpos_mean": np.arange(4, dtype=np.float32),
  "qpos_std": np.full(4, 0.01, np.float32),
  "action_mean": np.ones(3, np.float32),
  "action_std": np.full(3, 2.0, np.float32),
  "example_qpos": np.zeros((7, 4)),
}


def write(place: pathlib.Path, *, statistics: Any = STATISTICS) -> pathlib.Path:
  place.mkdir()
  write_torch.save(place / "policy_best.ckpt", tensors())
  if statistics is not None:
    (place / "dataset_stats.pkl").write_bytes(pickle.dumps(statistics))
  return place


def imported(place: pathlib.Path, workdir: pathlib.Path, **asked: Any) -> Any:
  chosen = importing.Asked(**{**ASKED, **asked})
  return importing.import_policy(str(place), workdir, chosen)


def refused(place: pathlib.Path, says: str, **asked: Any) -> None:
  workdir = place.parent / "run"
  with pytest.raises(errors.UserError, match=says) as caught:
    imported(place, workdir, **asked)
  assert len(str(caught.value).splitlines()) == 1
  assert not workdir.exists()


@pytest.mark.parametrize("below", ["", "policy_best.ckpt"])
def test_a_policy_arrives(below: str, tmp_path: pathlib.Path) -> None:
  place = write(tmp_path / "theirs")
  step = imported(place / below, tmp_path / "run", control_hz=50.0)
  config = json_lib.from_json(
    checkpoint_lib.read_json(step, "config.json"), config_lib.default_config()
  )
  assert config.model.encoder_layers == 2
  assert config.model.vae_encoder_layers == 1
  assert config.model.decoder_layers == 1
  assert config.normalization.images == "imagenet"
  assert config.loss.reduction == "all"
  assert config.normalization.minimum_std == 0.0
  assert config.dataset.state == "qpos"
  dataset = checkpoint_lib.read_json(step, "dataset.json")
  assert dataset["names"] == {
    "images/top": "top",
    "qpos": "qpos",
    "action": "action",
  }
  assert dataset["control_hz"] == 50.0
  stored = checkpoint_lib.read_json(step, "stats.json")
  assert stored["state"]["mean"] == STATISTICS["qpos_mean"].tolist()
  kernel = checkpoint_lib.read(step, regex="agent/params/action_head/kernel")
  np.testing.assert_array_equal(
    kernel["agent"]["params"]["action_head"]["kernel"],
    tensors()["model.action_head.weight"].T,
  )
  [entry] = checkpoint_lib.read_manifest(step).lineage
  assert entry["files"].keys() == {"policy_best.ckpt", "dataset_stats.pkl"}
  context = checkpoint_lib.read_json(step, "run_context.json")
  package = context["training_repository"]["package"]
  assert package.startswith("tonyzhaozh/act,")


def test_what_no_file_tells(tmp_path: pathlib.Path) -> None:
  place = write(tmp_path / "theirs")
  refused(place, "does not tell its cameras: give --cameras", cameras=())
  refused(place, "names one camera twice", cameras=("top", "top"))
  refused(place, "multiple of model.heads", heads=3)


def test_statistics_elsewhere(tmp_path: pathlib.Path) -> None:
  place = write(tmp_path / "theirs", statistics=None)
  refused(place, "lacks statistics of observation.state, action")
  other = tmp_path / "dataset_stats.pkl"
  other.write_bytes(pickle.dumps(STATISTICS))
  strange = place / "policy_best.ckpt"
  refused(place, "a .pkl of the original", statistics=str(strange))
  step = imported(place, tmp_path / "run", statistics=str(other))
  stored = checkpoint_lib.read_json(step, "stats.json")
  assert stored["action"]["std"] == [2.0] * 3


class Runs:
  """Pickles into a call."""

  def __reduce__(self) -> Any:
    return eval, ("1/0",)


def without_deviation(place: pathlib.Path) -> None:
  kept = {k: x for k, x in STATISTICS.items() if k != "qpos_std"}
  (place / "dataset_stats.pkl").write_bytes(pickle.dumps(kept))


def too_many(place: pathlib.Path) -> None:
  more = tensors() | {"model.backbones.1.0.body.conv1.weight": np.ones(1)}
  write_torch.save(place / "policy_best.ckpt", more)


def headless(place: pathlib.Path) -> None:
  fewer = {k: x for k, x in tensors().items() if "action_head" not in k}
  write_torch.save(place / "policy_best.ckpt", fewer)


def calls(place: pathlib.Path) -> None:
  with zipfile.ZipFile(place / "policy_best.ckpt", "w") as archive:
    archive.writestr("x/data.pkl", pickle.dumps({"a": Runs()}, 2))


def cut(place: pathlib.Path) -> None:
  path = place / "policy_best.ckpt"
  path.write_bytes(path.read_bytes()[:-3000])


def flat_backbone(place: pathlib.Path) -> None:
  fewer = {k: x for k, x in tensors().items() if ".layer4.1." not in k}
  write_torch.save(place / "policy_best.ckpt", fewer)


def hostile_statistics(place: pathlib.Path) -> None:
  content = pickle.dumps(STATISTICS | {"example_qpos": Runs()})
  (place / "dataset_stats.pkl").write_bytes(content)


FAULTS: dict[str, tuple[Callable[[pathlib.Path], None], str]] = {
  "no deviation": (without_deviation, "has no 'qpos_std'"),
  "two backbones": (too_many, "backbones.1.0.*no place in the original ACT"),
  "no head": (headless, "'action_head.weight' is missing"),
  "a call": (calls, "not a plain dictionary of tensors .a call of .*eval"),
  "cut": (cut, "policy_best.ckpt: not a plain dictionary"),
  "no ResNet": (flat_backbone, "is no ResNet"),
  "statistics that call": (hostile_statistics, "a call of .*eval"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named(name: str, tmp_path: pathlib.Path) -> None:
  change, says = FAULTS[name]
  place = write(tmp_path / "theirs")
  change(place)
  refused(place, says)


def test_cameras_are_for_the_original(tmp_path: pathlib.Path) -> None:
  config = a_checkpoint.narrow()
  state = a_checkpoint.random_state(config, SPEC, 0)
  place = write_lerobot.bare(
    tmp_path / "theirs",
    write_lerobot.config_json(config, SPEC),
    write_lerobot.weights(config, SPEC, state),
  )
  refused(place, "--cameras is for an original ACT")
