"""Policies of LeRobot, of every generation, as checkpoints of ours."""

import copy
import functools
import hashlib
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import a_checkpoint
import write_lerobot

from act import config as config_lib
from act import features as features_lib
from act import learner, model
from act.lerobot import assembling, completing, importing, locating
from carnet import checkpoint as checkpoint_lib
from carnet import config as json_lib
from carnet import errors, hub

SPEC = features_lib.Features(
  images=(("top", (64, 64, 3)),), action_size=3, state_size=4
)
ABSTRACT = model.abstract
SHAPES: dict[Any, Any] = {}


@functools.cache
def made() -> tuple[Any, learner.TrainState, dict[str, Any]]:
  """Returns the configuration, state and statistics of a small policy."""
  config = a_checkpoint.narrow()
  state = a_checkpoint.random_state(config, SPEC, 5)
  return config, state, a_checkpoint.blocks(SPEC)


@pytest.fixture(autouse=True)
def _shapes_once(monkeypatch: pytest.MonkeyPatch) -> None:
  """Computes the shapes of equal networks once: half of the time."""

  def abstract(config: Any, spec: features_lib.Features) -> Any:
    key = (config.to_json(sort_keys=True), spec)
    if key not in SHAPES:
      SHAPES[key] = ABSTRACT(config, spec)
    return SHAPES[key]

  monkeypatch.setattr(model, "abstract", abstract)


class Layout:
  """The files of that policy before they are written."""

  def __init__(self, spec: features_lib.Features = SPEC, config: Any = None):
    base, state, blocks = made()
    config = config or base
    if spec != SPEC or config is not base:
      state = a_checkpoint.random_state(config, spec, 5)
      blocks = a_checkpoint.blocks(spec)
    self.state, self.blocks = state, blocks
    self.config = write_lerobot.config_json(config, spec)
    self.weights = write_lerobot.weights(config, spec, state)
    self.statistics = write_lerobot.statistics(blocks)

  def today(self, place: pathlib.Path) -> pathlib.Path:
    return write_lerobot.today(
      place, self.config, self.weights, self.statistics
    )

  def legacy(self, place: pathlib.Path) -> pathlib.Path:
    tensors = self.weights | write_lerobot.buffers(self.statistics)
    return write_lerobot.bare(place, self.config, tensors)


def imported(
  source: pathlib.Path | str, workdir: pathlib.Path, **asked: Any
) -> pathlib.Path:
  return importing.import_policy(str(source), workdir, importing.Asked(**asked))


def refused(
  source: pathlib.Path | str, workdir: pathlib.Path, says: str, **asked: Any
) -> None:
  """Asserts a one-line error that leaves nothing behind."""
  before = sorted(workdir.parent.iterdir())
  with pytest.raises(errors.UserError, match=says) as caught:
    imported(source, workdir, **asked)
  assert len(str(caught.value).splitlines()) == 1
  assert sorted(workdir.parent.iterdir()) == before


def read_config(step: pathlib.Path) -> Any:
  return json_lib.from_json(
    checkpoint_lib.read_json(step, "config.json"), config_lib.default_config()
  )


def check(step: pathlib.Path, layout: Layout, modes: tuple[str, ...]) -> None:
  """Asserts that parameters, buffers and statistics are those written."""
  agent = checkpoint_lib.read(step, components=("agent",))["agent"]
  jax.tree.map(
    np.testing.assert_array_equal,
    agent["params"],
    jax.device_get(layout.state.params),
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    agent.get("buffers", {}),
    jax.device_get(layout.state.buffers),
  )
  stored = checkpoint_lib.read_json(step, "stats.json")
  for feature, block in layout.blocks.items():
    for name in modes:
      expected = np.asarray(block[name], np.float32)
      np.testing.assert_array_equal(np.float32(stored[feature][name]), expected)


def test_today(tmp_path: pathlib.Path) -> None:
  layout = Layout()
  step = imported(layout.today(tmp_path / "theirs"), tmp_path / "run")
  assert step == tmp_path / "run/checkpoints/000000000"
  check(step, layout, ("mean", "std", "min", "max", "q01", "q99"))
  config = read_config(step)
  assert (
    config.to_dict()
    == json_lib.from_json(
      json.loads((tmp_path / "run/config.json").read_text()),
      config_lib.default_config(),
    ).to_dict()
  )
  assert config.model.backbone_widths == (4, 4, 8, 8)
  assert config.model.backbone_norm == "frozen"
  assert config.normalization.to_dict() | {"source": ""} == {
    "source": "",
    "state": "mean_std",
    "action": "mean_std",
    "images": "mean_std",
    "epsilon": 1e-8,
    "minimum_std": 0.0,
  }
  assert config.optimizer.learning_rate == 2e-5
  assert config.optimizer.backbone_learning_rate == 3e-5
  assert config.environment.name == ""
  assert config.dataset.state == "state"
  dataset = checkpoint_lib.read_json(step, "dataset.json")
  assert dataset["names"] == {
    "images/top": "observation.images.top",
    "state": "observation.state",
    "action": "action",
  }
  assert dataset["lerobot"]["config"] == layout.config
  assert "fresh optimizer" in " ".join(dataset["source"]["notes"])
  context = checkpoint_lib.read_json(step, "run_context.json")
  assert context["captured_at_launch"] is False
  assert context["training_repository"]["package"].startswith("lerobot,")


def test_the_lineage_names_every_file(tmp_path: pathlib.Path) -> None:
  place = Layout().today(tmp_path / "theirs")
  step = imported(place, tmp_path / "run")
  [entry] = checkpoint_lib.read_manifest(step).lineage
  assert entry["relation"] == "import"
  assert entry["path"] == str(place)
  assert entry["files"] == {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()
    for path in place.iterdir()
  }


@pytest.mark.parametrize("era", ["0.3", "2024"])
def test_statistics_in_the_weights(era: str, tmp_path: pathlib.Path) -> None:
  layout = Layout()
  if era == "2024":
    layout.config = write_lerobot.hydra(layout.config)
  step = imported(layout.legacy(tmp_path / "theirs"), tmp_path / "run")
  check(step, layout, ("mean", "std"))
  assert read_config(step).loss.reduction == "all"


@pytest.mark.parametrize(
  ("changes", "spec"),
  [
    ({"use_vae": False}, SPEC),
    ({"pre_norm": True, "activation": "gelu", "decoder_layers": 2}, SPEC),
    ({}, features_lib.Features((), 3, 4, 5)),
    (
      {},
      features_lib.Features(
        (("wrist", (64, 64, 3)), ("top", (64, 96, 3))), 3, 0, 2
      ),
    ),
  ],
  ids=["no VAE", "pre-norm", "no camera", "no state, two sizes"],
)
def test_variants(
  changes: dict[str, Any], spec: Any, tmp_path: pathlib.Path
) -> None:
  layout = Layout(spec, a_checkpoint.narrow(**changes))
  layout.config["normalization_mapping"]["ENV"] = "MEAN_STD"
  step = imported(layout.today(tmp_path / "theirs"), tmp_path / "run")
  check(step, layout, ("mean", "std"))
  stored = checkpoint_lib.read_json(step, "features.json")
  assert features_lib.from_json(stored) == spec
  config = read_config(step)
  assert bool(config.dataset.state) == bool(spec.state_size)
  environment = "environment_state" if spec.environment_state_size else ""
  assert config.dataset.environment_state == environment


def test_an_environment_state_that_is_left_as_it_is(
  tmp_path: pathlib.Path,
) -> None:
  """LeRobot scales ENV only where the mapping has it."""
  layout = Layout(features_lib.Features((), 3, 4, 2))
  del layout.statistics["observation.environment_state"]
  step = imported(layout.today(tmp_path / "theirs"), tmp_path / "run")
  block = checkpoint_lib.read_json(step, "stats.json")["environment_state"]
  assert block == {"mean": [0.0, 0.0], "std": [1.0, 1.0]}
  layout.config["normalization_mapping"]["ENV"] = "MIN_MAX"
  refused(
    write_lerobot.today(
      tmp_path / "other",
      layout.config,
      layout.weights,
      write_lerobot.statistics(layout.blocks),
    ),
    tmp_path / "more",
    "one mode must do",
  )


def test_renamed_observations(tmp_path: pathlib.Path) -> None:
  place = Layout().today(tmp_path / "theirs")
  steps = json.loads((place / "policy_preprocessor.json").read_text())
  steps["steps"][0]["config"]["rename_map"] = {
    "observation.images.cam_high": "observation.images.top"
  }
  write_lerobot.save_json(place / "policy_preprocessor.json", steps)
  step = imported(place, tmp_path / "run")
  names = checkpoint_lib.read_json(step, "dataset.json")["names"]
  assert names["images/top"] == "observation.images.cam_high"
  config = read_config(step)
  assert config.dataset.rename == ("observation.images.cam_high => top",)


TRAIN: dict[str, Any] = {
  "dataset": {
    "repo_id": "lerobot/aloha_sim_transfer_cube_human",
    "use_imagenet_stats": True,
    "episodes": [0, 1, 2, 5],
    "exclude_episodes": [5],
    "image_transforms": {
      "enable": True,
      "max_num_transforms": 2,
      "tfs": {
        "brightness": {
          "type": "ColorJitter",
          "kwargs": {"brightness": [0.7, 1.1]},
        },
        "affine": {
          "type": "RandomAffine",
          "kwargs": {"degrees": [-4.0, 4.0], "translate": [0.1, 0.1]},
        },
        "blur": {"type": "GaussianBlur", "kwargs": {}},
      },
    },
  },
  "env": {
    "type": "aloha",
    "task": "AlohaTransferCube-v0",
    "episode_length": 350,
  },
  "seed": 7,
  "batch_size": 16,
  "steps": 123,
  "optimizer": {
    "type": "adamw",
    "lr": 4e-5,
    "betas": [0.8, 0.99],
    "eps": 1e-7,
    "grad_clip_norm": 2.0,
  },
}


def test_what_train_config_says(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  place = Layout().today(tmp_path / "theirs")
  write_lerobot.save_json(place / "train_config.json", TRAIN)
  step = imported(place, tmp_path / "run")
  config = read_config(step)
  assert (config.seed, config.batch_size, config.total_steps) == (7, 16, 123)
  optimizer = config.optimizer
  assert (optimizer.learning_rate, optimizer.beta1) == (4e-5, 0.8)
  assert (optimizer.epsilon, optimizer.clip_norm) == (1e-7, 2.0)
  assert config.loss.reduction == "all"  # no eval_split: until 0.5
  augmentation = config.augmentation
  assert augmentation.max_transforms == 2
  assert augmentation.brightness == (0.7, 1.1)
  assert augmentation.contrast == (1.0, 1.0)
  assert augmentation.affine_degrees == 4.0
  told = capsys.readouterr().out
  assert "'blur'" in told
  assert "4 chosen episodes" in told
  assert config.dataset.exclude_episodes == (5,)
  environment = config.environment
  assert environment.name == "aloha/transfer_cube"
  assert (environment.height, environment.max_steps) == (64, 350)
  assert config.dataset.state == "qpos"
  dataset = checkpoint_lib.read_json(step, "dataset.json")
  assert dataset["task"] == TRAIN["dataset"]["repo_id"]
  assert dataset["control_hz"] == 50.0
  assert dataset["names"]["qpos"] == "observation.state"
  context = checkpoint_lib.read_json(step, "run_context.json")
  assert context["datasets"][0]["id"] == TRAIN["dataset"]["repo_id"]


def test_the_simulator_of_the_users_choice(tmp_path: pathlib.Path) -> None:
  place = Layout().today(tmp_path / "theirs")
  refused(place, tmp_path / "run", "unknown environment", environment="aloha/x")
  step = imported(place, tmp_path / "run", environment="aloha/insertion")
  environment = read_config(step).environment
  assert environment.name == "aloha/insertion"
  assert environment.cameras == ("top",)
  # as MuJoCo renders the scene by itself, which LeRobot's policies saw
  assert (environment.shadows, environment.msaa_samples) == (True, 4)
  dataset = checkpoint_lib.read_json(step, "dataset.json")
  assert dataset["control_hz"] == 50.0


def test_a_run_of_06_divides_by_valid_elements(tmp_path: pathlib.Path) -> None:
  place = Layout().today(tmp_path / "theirs")
  data = TRAIN["dataset"] | {"eval_split": 0.25}
  write_lerobot.save_json(place / "train_config.json", {"dataset": data})
  config = read_config(imported(place, tmp_path / "run"))
  assert config.loss.reduction == "valid"
  assert config.dataset.validation_fraction == 0.25


def test_imagenets_numbers_stay_imagenets(tmp_path: pathlib.Path) -> None:
  """Training that goes on must not scale images by the data's."""
  layout = Layout()
  block = {
    "mean": np.asarray((0.485, 0.456, 0.406), np.float32),
    "std": np.asarray((0.229, 0.224, 0.225), np.float32),
  }
  layout.statistics["observation.images.top"] = block
  step = imported(layout.today(tmp_path / "theirs"), tmp_path / "run")
  assert read_config(step).normalization.images == "imagenet"


Change = Callable[[Layout], Any]


def set_field(**fields: Any) -> Change:
  return lambda layout: layout.config.update(fields)


FAULTS: dict[str, tuple[Change, str]] = {
  "another policy": (set_field(type="diffusion"), "type 'diffusion'"),
  "unknown field": (set_field(use_moe=True), "'use_moe' is unknown"),
  "adapter": (set_field(use_peft=True), "merge the adapter"),
  "two observations": (set_field(n_obs_steps=2), "n_obs_steps must be 1"),
  "glu": (set_field(feedforward_activation="glu"), "unknown model.activation"),
  "another backbone": (set_field(vision_backbone="vit"), "model.backbone"),
  "layers": (set_field(n_encoder_layers=10**9), "the weights have 2"),
  "not a number": (set_field(dim_model="wide"), "config.model.width"),
  "no width": (set_field(dim_model=0), "model.width=0"),
  "another chunk": (set_field(chunk_size=7), "decoder_pos_embed.weight"),
  "field missing": (lambda x: x.config.pop("n_heads"), "'n_heads' is missing"),
  "no features": (
    lambda x: x.config["output_features"].clear(),
    "declares no output 'action'",
  ),
  "mode": (
    lambda x: x.config["normalization_mapping"].update(STATE="WHITEN"),
    "unknown normalization.*'WHITEN'",
  ),
  "tensor missing": (
    lambda x: x.weights.pop("model.action_head.bias"),
    "'model.action_head.bias' is missing",
  ),
  "tensor too many": (
    lambda x: x.weights.update({"model.extra.weight": np.ones(2)}),
    "'model.extra.weight' has no place",
  ),
  "NaN": (
    lambda x: x.weights["model.action_head.bias"].fill(np.nan),
    "not finite",
  ),
  "table": (
    lambda x: x.weights["model.vae_encoder_pos_enc"].fill(0.5),
    "is not the table",
  ),
  "no statistics of the state": (
    lambda x: x.statistics.pop("observation.state"),
    "lacks statistics of observation.state.*--stats",
  ),
  "no deviation": (
    lambda x: x.statistics["action"].pop("std"),
    "lacks statistics of action",
  ),
  "negative": (
    lambda x: x.statistics["action"]["std"].fill(-1.0),
    "'std' of 'action' is negative",
  ),
  "infinite": (
    lambda x: x.statistics["action"]["mean"].fill(np.inf),
    "'mean' of 'action' is infinite: it was never set",
  ),
  "narrow": (
    lambda x: x.statistics["action"].update(mean=np.ones(2, np.float32)),
    "has 2 numbers instead of 3",
  ),
  "upside down": (
    lambda x: x.statistics["action"]["min"].fill(1e6),
    "a 'min' above its 'max'",
  ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named(name: str, tmp_path: pathlib.Path) -> None:
  change, says = FAULTS[name]
  layout = Layout()
  layout.config = copy.deepcopy(layout.config)
  layout.weights = {k: x.copy() for k, x in layout.weights.items()}
  change(layout)
  refused(layout.today(tmp_path / "theirs"), tmp_path / "run", says)


def test_a_field_that_is_off_is_noted(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  layout = Layout()
  layout.config["use_moe"] = False
  step = imported(layout.today(tmp_path / "theirs"), tmp_path / "run")
  assert "'use_moe'" in capsys.readouterr().out
  notes = checkpoint_lib.read_json(step, "dataset.json")["source"]["notes"]
  assert any("'use_moe'" in note for note in notes)


def change_step(index: int, **config: Any) -> Callable[[Any], None]:
  return lambda steps: steps[index]["config"].update(config)


def renaming(step: Any) -> Any:
  camera = "observation.images.top"
  step["config"] = {"rename_map": {"observation.images.cam_high": camera}}
  return step


PROCESSORS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
  "unknown step": (
    "policy_preprocessor",
    lambda steps: steps.append(write_lerobot.step("tokenizer_processor")),
    "unknown processor step.*'tokenizer_processor'",
  ),
  "a class": (
    "policy_preprocessor",
    lambda steps: steps.append({"class": "somewhere.Step", "config": {}}),
    "'somewhere.Step'",
  ),
  "no normaliser": (
    "policy_postprocessor",
    lambda steps: steps.pop(0),
    "has 0 steps unnormalizer_processor",
  ),
  "not scaled": (
    "policy_preprocessor",
    lambda steps: steps[3]["config"]["features"].pop("observation.state"),
    "does not scale 'observation.state'",
  ),
  "some keys only": (
    "policy_preprocessor",
    change_step(3, normalize_observation_keys=["observation.state"]),
    "does not scale 'observation.images.top'",
  ),
  "another mode": (
    "policy_postprocessor",
    change_step(0, norm_map={"ACTION": "MIN_MAX"}),
    "do not scale actions alike",
  ),
  "out of the directory": (
    "policy_preprocessor",
    lambda steps: steps[3].update(state_file="../x.safetensors"),
    "no name of a state file",
  ),
  "no such file": (
    "policy_preprocessor",
    lambda steps: steps[3].update(state_file="x.safetensors"),
    "x.safetensors: no such file",
  ),
  "two normalisers": (
    "policy_preprocessor",
    lambda steps: steps.append(steps[3]),
    "has 2 steps normalizer_processor",
  ),
  "two that undo it": (
    "policy_postprocessor",
    lambda steps: steps.insert(0, steps[0]),
    "has 2 steps unnormalizer_processor",
  ),
  "scaled before it is renamed": (
    "policy_preprocessor",
    lambda steps: steps.append(renaming(steps.pop(0))),
    "rename_observations_processor after normalizer_processor",
  ),
  "half precision": (
    "policy_preprocessor",
    change_step(2, float_dtype="float16"),
    "device_processor computes in float16",
  ),
  "an order that changes nothing": (
    "policy_preprocessor",
    lambda steps: steps.reverse(),
    "",
  ),
  "a device last or first": (
    "policy_postprocessor",
    lambda steps: steps.reverse(),
    "",
  ),
  "no file": (
    "policy_preprocessor",
    lambda steps: steps[3].pop("state_file"),
    "",
  ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_processors_are_understood_or_refused(
  name: str, tmp_path: pathlib.Path
) -> None:
  file, change, says = PROCESSORS[name]
  place = Layout().today(tmp_path / "theirs")
  path = place / f"{file}.json"
  document = json.loads(path.read_text())
  change(document["steps"])
  write_lerobot.save_json(path, document)
  if says:
    refused(place, tmp_path / "run", says)
  else:  # the other processor has all of them
    imported(place, tmp_path / "run")


def test_the_named_state_file_holds(tmp_path: pathlib.Path) -> None:
  """The usual name is not looked for, when another is written there."""
  layout = Layout()
  place = layout.today(tmp_path / "theirs")
  for name in ("policy_preprocessor", "policy_postprocessor"):
    document = json.loads((place / f"{name}.json").read_text())
    for step in document["steps"]:
      if "state_file" in step:
        (place / step["state_file"]).rename(place / f"{name}_9.safetensors")
        step["state_file"] = f"{name}_9.safetensors"
    write_lerobot.save_json(place / f"{name}.json", document)
  check(imported(place, tmp_path / "run"), layout, ("mean", "std"))


def test_processors_that_disagree(tmp_path: pathlib.Path) -> None:
  layout = Layout()
  place = layout.today(tmp_path / "theirs")
  other = Layout()
  other.statistics["action"]["mean"] = np.full(3, 9.0, np.float32)
  shutil.copy(
    other.today(tmp_path / "other") / write_lerobot.POST,
    place / write_lerobot.POST,
  )
  refused(place, tmp_path / "run", "disagree on the 'mean' of 'action'")


def test_buffers_that_disagree(tmp_path: pathlib.Path) -> None:
  layout = Layout()
  tensors = layout.weights | write_lerobot.buffers(layout.statistics)
  tensors["normalize_targets.buffer_action.std"] += 1.0
  place = write_lerobot.bare(tmp_path / "theirs", layout.config, tensors)
  refused(place, tmp_path / "run", "disagree on the 'std' of 'action'")


def test_several_datasets_are_listed(tmp_path: pathlib.Path) -> None:
  layout = Layout()
  tensors = dict(layout.weights)
  for name, array in write_lerobot.buffers(layout.statistics).items():
    for data in ("so100", "so100-red"):
      tensors[name.replace(".buffer", f".{data}_buffer")] = array.copy()
  place = write_lerobot.bare(tmp_path / "theirs", layout.config, tensors)
  refused(place, tmp_path / "run", "2 datasets .so100, so100-red.")


def test_buffers_never_set(tmp_path: pathlib.Path) -> None:
  layout = Layout()
  layout.statistics["action"]["mean"].fill(np.inf)
  place = layout.legacy(tmp_path / "theirs")
  refused(place, tmp_path / "run", "'action' is infinite: it was never set")


def data_with_statistics(place: pathlib.Path, layout: Layout) -> pathlib.Path:
  (place / "meta").mkdir(parents=True)
  stats = {
    name: {key: x.tolist() for key, x in block.items()}
    for name, block in layout.statistics.items()
  }
  write_lerobot.save_json(place / "meta/stats.json", stats)
  write_lerobot.save_json(place / "meta/info.json", {"fps": 30})
  return place


def test_statistics_of_a_dataset(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  layout = Layout()
  place = write_lerobot.bare(tmp_path / "theirs", layout.config, layout.weights)
  refused(place, tmp_path / "run", "lacks statistics.*--stats")
  data = data_with_statistics(tmp_path / "data", layout)
  step = imported(place, tmp_path / "run", statistics=str(data))
  stored = checkpoint_lib.read_json(step, "stats.json")
  np.testing.assert_array_equal(
    np.float32(stored["state"]["std"]),
    np.float32(layout.blocks["state"]["std"]),
  )
  # LeRobot's default, where no train_config.json says otherwise
  assert read_config(step).normalization.images == "imagenet"
  assert "ImageNet's are taken" in capsys.readouterr().out
  assert checkpoint_lib.read_json(step, "dataset.json")["control_hz"] == 30.0
  [entry] = checkpoint_lib.read_manifest(step).lineage
  assert "stats/meta/stats.json" in entry["files"]


def only_metadata(place: pathlib.Path, layout: Layout) -> pathlib.Path:
  """Writes what --stats fetches of a v2.1: two episodes, of 10 and 30 frames.

  The means of both are 3 standard deviations apart.
  """
  (place / "meta").mkdir(parents=True)
  features, rows = {}, []
  for name, block in layout.statistics.items():
    size = block["mean"].size
    is_image = name.startswith("observation.images.")
    features[name] = {
      "dtype": "video" if is_image else "float32",
      "shape": [64, 64, 3] if is_image else [size],
    }
  for number, (length, shift) in enumerate(((10, -2.25), (30, 0.75))):
    stats = {
      name: {
        "mean": (block["mean"] + shift * block["std"]).tolist(),
        **{key: block[key].tolist() for key in ("std", "min", "max")},
        "count": [length],
      }
      for name, block in layout.statistics.items()
    }
    rows.append({"episode_index": number, "stats": stats})
  info = {"codebase_version": "v2.1", "fps": 20, "total_episodes": 2}
  write_lerobot.save_json(
    place / "meta/info.json", info | {"total_frames": 40, "features": features}
  )
  lines = "\n".join(map(json.dumps, rows))
  (place / "meta/episodes_stats.jsonl").write_text(lines)
  return place


def test_statistics_of_a_dataset_of_v21(tmp_path: pathlib.Path) -> None:
  """Its episodes' are merged; neither data nor videos are there."""
  layout = Layout()
  place = write_lerobot.bare(tmp_path / "theirs", layout.config, layout.weights)
  data = only_metadata(tmp_path / "data", layout)
  step = imported(place, tmp_path / "run", statistics=str(data))
  stored = checkpoint_lib.read_json(step, "stats.json")
  for name in ("state", "action"):
    block = layout.blocks[name]
    np.testing.assert_allclose(stored[name]["mean"], block["mean"], rtol=1e-4)
    # shifts of -2.25 in a quarter and 0.75 in the rest have the variance 27/16
    expected = np.asarray(block["std"]) * (1 + 27 / 16) ** 0.5
    np.testing.assert_allclose(stored[name]["std"], expected, rtol=1e-3)
  [entry] = checkpoint_lib.read_manifest(step).lineage
  assert "stats/meta/episodes_stats.jsonl" in entry["files"]
  path = data / "meta/episodes_stats.jsonl"
  path.write_text(path.read_text().splitlines()[0])
  refused(
    place,
    tmp_path / "more",
    "statistics of 1 episodes, meta/info.json counts 2",
    statistics=str(data),
  )


def test_statistics_of_v21_on_the_hub(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Of a snapshot, whose files are links, meta/ alone is fetched."""
  monkeypatch.chdir(tmp_path)
  stored = only_metadata(tmp_path / "hub/blobs", Layout())
  data = tmp_path / "hub/snapshots" / ("b" * 40)
  (data / "meta").mkdir(parents=True)
  for path in (stored / "meta").iterdir():
    link = data / "meta" / path.name
    link.symlink_to(f"../../../blobs/meta/{path.name}")

  def snapshot(*arguments: Any) -> hub.Snapshot:
    assert arguments == ("user/data", "dataset", None, ("meta/*",))
    return hub.Snapshot(data, "b" * 40)

  monkeypatch.setattr(hub, "snapshot", snapshot)
  found = completing.elsewhere("user/data")
  assert found.fps == 20
  assert found.place == "user/data@" + "b" * 40
  assert found.statistics["action"]["count"] == [40.0]


def test_other_statistics_are_kept_where_they_are_numbers(
  tmp_path: pathlib.Path,
) -> None:
  layout = Layout()
  layout.statistics["action"] |= {
    "count": np.array([123456789], np.int64),
    "q50": np.zeros(3, np.float32),
    "wide": np.zeros(4, np.float32),
    "unset": np.full(3, np.inf, np.float32),
    "not a name": np.zeros(3, np.float32),
  }
  step = imported(layout.today(tmp_path / "theirs"), tmp_path / "run")
  block = checkpoint_lib.read_json(step, "stats.json")["action"]
  assert block["count"] == [123456789.0]
  assert block["q50"] == [0.0] * 3
  assert not {"wide", "unset", "not a name"} & block.keys()


@pytest.mark.parametrize("told", [True, None])
def test_a_dataset_without_a_camera_of_the_policy(
  told: bool | None, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  layout = Layout()
  place = write_lerobot.bare(tmp_path / "theirs", layout.config, layout.weights)
  data = data_with_statistics(tmp_path / "data", layout)
  path = data / "meta/stats.json"
  stats = json.loads(path.read_text())
  del stats["observation.images.top"]
  path.write_text(json.dumps(stats))
  asked, says = str(data), "has no camera 'observation.images.top'"
  if told is None:
    refused(place, tmp_path / "run", says, statistics=asked)
    return
  write_lerobot.save_json(
    place / "train_config.json", {"dataset": {"use_imagenet_stats": told}}
  )
  step = imported(place, tmp_path / "run", statistics=asked)
  assert read_config(step).normalization.images == "imagenet"
  assert says in capsys.readouterr().out
  notes = checkpoint_lib.read_json(step, "dataset.json")["source"]["notes"]
  assert any(says in note for note in notes)


@pytest.mark.parametrize("name", ["a" * 300, "~nobody-of-that-name/x"])
def test_no_such_statistics(name: str, tmp_path: pathlib.Path) -> None:
  layout = Layout()
  place = write_lerobot.bare(tmp_path / "theirs", layout.config, layout.weights)
  refused(place, tmp_path / "run", "no such directory", statistics=name)


def test_statistics_of_a_dataset_for_images_too(tmp_path: pathlib.Path) -> None:
  layout = Layout()
  place = write_lerobot.bare(tmp_path / "theirs", layout.config, layout.weights)
  trained = {"dataset": {"use_imagenet_stats": False}}
  write_lerobot.save_json(place / "train_config.json", trained)
  data = data_with_statistics(tmp_path / "data", layout)
  step = imported(place, tmp_path / "run", statistics=f"lerobot:{data}")
  check(step, layout, ("mean", "std"))


def test_statistics_of_a_dataset_of_the_hub(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.chdir(tmp_path)
  layout = Layout()
  place = write_lerobot.bare(tmp_path / "theirs", layout.config, layout.weights)
  data = data_with_statistics(tmp_path / "fetched", layout)
  commit = "b" * 40

  def snapshot(*arguments: Any) -> hub.Snapshot:
    assert arguments[:3] == ("user/data", "dataset", "v3")
    return hub.Snapshot(data, commit)

  monkeypatch.setattr(hub, "snapshot", snapshot)
  step = imported(place, tmp_path / "run", statistics="lerobot:user/data@v3")
  dataset = checkpoint_lib.read_json(step, "dataset.json")
  assert dataset["source"]["statistics"] == f"user/data@{commit}"


def test_statistics_twice(tmp_path: pathlib.Path) -> None:
  layout = Layout()
  data = data_with_statistics(tmp_path / "data", layout)
  place = layout.today(tmp_path / "theirs")
  refused(place, tmp_path / "run", "leave --stats away", statistics=str(data))
  tensors = layout.weights | write_lerobot.buffers(layout.statistics)
  write_lerobot.today(place, layout.config, tensors, layout.statistics)
  refused(place, tmp_path / "run", "in its weights and in")


def a_run(place: pathlib.Path, last: str = "file") -> pathlib.Path:
  """Writes a run of two steps; the last one that counts is the first."""
  steps = place / "checkpoints"
  Layout().today(steps / "000010/pretrained_model")
  (steps / "000020/pretrained_model").mkdir(parents=True)
  training = steps / "000010/training_state"
  training.mkdir()
  write_lerobot.save_json(training / "training_step.json", {"step": 10})
  if last == "file":
    (steps / "last").write_text("000010\n")
  else:
    (steps / "last").symlink_to("000010")
  return place


@pytest.mark.parametrize("last", ["file", "link"])
@pytest.mark.parametrize(
  "below",
  [
    *("", "checkpoints", "checkpoints/last", "checkpoints/000010"),
    "checkpoints/000010/pretrained_model",
    "checkpoints/000010/pretrained_model/model.safetensors",
  ],
)
def test_places(below: str, last: str, tmp_path: pathlib.Path) -> None:
  run = a_run(tmp_path / "theirs", last)
  found = locating.find(str(run / below))
  wanted = run / "checkpoints/000010/pretrained_model"
  assert found.directory == wanted
  assert found.training_state == wanted.parent / "training_state"


def test_the_step_comes_along(tmp_path: pathlib.Path) -> None:
  step = imported(a_run(tmp_path / "theirs"), tmp_path / "run")
  assert step.name == "000000010"
  assert checkpoint_lib.read(step, regex="agent/step")["agent"]["step"] == 10


def test_places_that_are_none(tmp_path: pathlib.Path) -> None:
  def says(path: pathlib.Path | str, what: str) -> None:
    with pytest.raises(errors.UserError, match=what):
      locating.find(str(path))

  says(tmp_path / "absent", "no such file")
  says(tmp_path, "neither model.safetensors.*there is: nothing")
  says("a" * 300, "a{200}[.]{3}: no such file")
  says("~nobody-of-that-name/x", "no such file")
  (tmp_path / "last").write_text("../../etc")
  says(tmp_path / "last", "names no step")
  (tmp_path / "notes.txt").write_text("x")
  says(tmp_path / "notes.txt", "is no checkpoint")
  (tmp_path / "broken").symlink_to("nowhere")
  says(tmp_path / "broken", "a link to nothing")
  circle = tmp_path / "circle/checkpoints"
  circle.mkdir(parents=True)
  (circle / "last").symlink_to(".")
  says(circle.parent, "holds neither|circle")
  sharded = tmp_path / "sharded/pretrained_model/pytorch_model_fsdp_0"
  sharded.mkdir(parents=True)
  says(tmp_path / "sharded", "lerobot-convert-dcp")


def test_a_policy_of_the_hub(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.chdir(tmp_path)
  commit = "a" * 40
  place = tmp_path / f"hub/snapshots/{commit}"
  stored = Layout().today(tmp_path / "hub/blobs")
  place.mkdir(parents=True)
  for path in stored.iterdir():
    (place / path.name).symlink_to(f"../../blobs/{path.name}")
  asked = []

  def snapshot(*arguments: Any) -> hub.Snapshot:
    asked.append(arguments[:3])
    return hub.Snapshot(place, commit)

  monkeypatch.setattr(hub, "snapshot", snapshot)
  step = imported("user/policy@v1", tmp_path / "run")
  assert asked == [("user/policy", "model", "v1")]
  [entry] = checkpoint_lib.read_manifest(step).lineage
  assert entry["path"] == f"user/policy@{commit}"


def test_a_link_out_of_the_directory(tmp_path: pathlib.Path) -> None:
  place = Layout().today(tmp_path / "theirs")
  (place / write_lerobot.PRE).rename(tmp_path / "elsewhere.safetensors")
  (place / write_lerobot.PRE).symlink_to("../elsewhere.safetensors")
  refused(place, tmp_path / "run", "a link out of its directory")


def test_a_workdir_in_use(tmp_path: pathlib.Path) -> None:
  place = Layout().today(tmp_path / "theirs")
  (tmp_path / "run").mkdir()
  imported(place, tmp_path / "run")
  refused(place, tmp_path / "run", "holds something already")
  refused(place, place / "config.json", "no directory")


def test_nothing_is_left_when_writing_fails(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  place = Layout().today(tmp_path / "theirs")

  def fail(*arguments: Any) -> None:
    del arguments
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(importing.workdir_lib, "write_config", fail)
  refused(place, tmp_path / "run", "No space left")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_cut_files(name: str, tmp_path: pathlib.Path) -> None:
  place = Layout().today(tmp_path / "theirs")
  content = (place / name).read_bytes()
  os.truncate(place / name, len(content) // 2)
  refused(place, tmp_path / "run", name)


VALUES: tuple[Any, ...] = (
  *(None, 0, -1, 1.5, 2**70, "", "x" * 500, [], ["x"], [[1]], {}, {"a": 1}),
  *(True, False, {"type": "VISUAL", "shape": [3, 8, 8]}),
)


def test_strange_values_are_one_line(tmp_path: pathlib.Path) -> None:
  """Whatever stands in the place of a value, nothing but our error comes."""
  place = Layout().today(tmp_path / "theirs")
  write_lerobot.save_json(place / "train_config.json", TRAIN)
  random = np.random.default_rng(0)
  names = sorted(path.name for path in place.glob("*.json"))
  found, said = locating.find(str(place)), []
  for _ in range(80):
    path = place / names[random.integers(len(names))]
    content = path.read_text()
    document = json.loads(content)
    spots = list(_spots(document))
    table, key = spots[random.integers(len(spots))]
    table[key] = VALUES[random.integers(len(VALUES))]
    path.write_text(json.dumps(document))
    try:
      policy = assembling.of_lerobot(found, "")
      importing._Checkpoint(policy, importing.Asked())
    except errors.UserError as error:
      said.append(str(error))
    path.write_text(content)
  assert all(len(text.splitlines()) == 1 for text in said)
  assert len(said) > 10
  assert max(map(len, said)) < 1500


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
  """Yields every place of a document: what holds it, and the key."""
  pairs = value.items() if isinstance(value, dict) else enumerate(value)
  for key, inner in pairs:
    yield value, key
    if isinstance(inner, dict | list):
      yield from _spots(inner)
