"""What an imported checkpoint is used for next: papers, and more training."""

import functools
import hashlib
import importlib.util
import os
import pathlib
import sys
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import a_checkpoint
import write_lerobot

from act import config as config_lib
from act import examination, train
from act import features as features_lib
from act.lerobot import importing
from carnet import checkpoint as checkpoint_lib
from carnet import errors, run_context
from carnet.passport import context, generate_command, sign_command
from carnet.passport.static import given, provenance

ROOT = pathlib.Path(__file__).parents[3]
DEFAULT = ROOT / "tests/fixtures/lerobot_act_tiny"
FIXTURES = pathlib.Path(os.environ.get("ACT_FIXTURES", DEFAULT))
DATA = os.environ.get(
  "LEROBOT_DATASET_FIXTURES",
  str(ROOT / "tests/fixtures/lerobot_dataset_v30_tiny"),
)
SPEC = features_lib.Features(images=(), action_size=3, environment_state_size=2)


def continued(path: pathlib.Path | str) -> Any:
  """Returns what configs/act/continued.py makes of a checkpoint."""
  file = ROOT / "configs/act/continued.py"
  spec = importlib.util.spec_from_file_location("continued", file)
  assert spec is not None and spec.loader is not None  # noqa: PT018
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(str(path))


@functools.cache
def written() -> tuple[Any, dict[str, np.ndarray], Any]:
  config = a_checkpoint.narrow(use_vae=False)
  state = a_checkpoint.random_state(config, SPEC, 0)
  document = write_lerobot.config_json(config, SPEC)
  blocks = write_lerobot.statistics(a_checkpoint.blocks(SPEC))
  return document, write_lerobot.weights(config, SPEC, state), blocks


@pytest.fixture
def step(tmp_path: pathlib.Path) -> pathlib.Path:
  """Returns the step directory of an imported policy without cameras."""
  place = write_lerobot.today(tmp_path / "theirs", *written())
  return importing.import_policy(
    str(place), tmp_path / "run", importing.Asked()
  )


def test_the_passport_names_the_source(step: pathlib.Path) -> None:
  config = checkpoint_lib.read_json(step, "config.json")
  launch = run_context.read(step)
  came = provenance.provenance(
    context.Context(step), given.Given(), config, launch
  )
  [parent] = came.lineage
  assert parent.relation == "import"
  theirs = step.parents[2] / "theirs"
  assert str(theirs) in parent.note
  for path in theirs.iterdir():
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{path.name} sha256 {sha256}" in parent.note
  assert came.training_package == "lerobot, version not recorded"
  assert came.training_commit is None
  assert came.training_run.run_id is None
  # when it was imported is not when it was trained
  assert came.training_run.finished_utc is None


def test_a_run_that_goes_on_keeps_the_source(step: pathlib.Path) -> None:
  saved = checkpoint_lib.Checkpoint(step.parents[2] / "more", verbose=False)
  saved.register("agent", {"step": np.zeros((), np.int32)})
  saved.load(step, regex="agent/step")
  saved.save(1)
  saved.close()
  lineage = checkpoint_lib.read_manifest(step.parents[2] / "more").lineage
  assert lineage[0]["relation"] == "import"
  assert "relation" not in lineage[1]


def test_continued(step: pathlib.Path) -> None:
  config = continued(step.parents[1])
  assert config.from_checkpoint == str(step.parents[1])
  assert config.from_checkpoint_regex == "agent/.*"
  assert config.model.width == 16
  assert config.model.backbone_weights == ""
  with pytest.raises(errors.UserError, match="name a checkpoint"):
    continued("")
  with pytest.raises(errors.UserError):
    continued(step.parents[2] / "nowhere")


def test_training_in_the_imported_workdir(step: pathlib.Path) -> None:
  with pytest.raises(errors.UserError, match=r"config\.dataset\.path is empty"):
    train.train(continued(step), step.parents[1])


@pytest.mark.parametrize(
  ("block", "low", "high"),
  [
    ({"min": [-1.0], "max": [1.0], "mean": [0.0], "std": [9.0]}, -1.5, 1.5),
    ({"mean": [1.0], "std": [0.5]}, -2.0, 4.0),
    ({"q01": [0.0], "q99": [12.0**0.5]}, 3**0.5 - 6.0, 3**0.5 + 6.0),
  ],
  ids=["range", "moments", "quantiles"],
)
def test_bounds_of_whatever_statistics(
  block: dict[str, list[float]], low: float, high: float
) -> None:
  found = examination._bounds(config_lib.default_config(), block)
  np.testing.assert_allclose(found.low, [low], rtol=1e-6)
  np.testing.assert_allclose(found.high, [high], rtol=1e-6)


def test_no_statistics_of_actions() -> None:
  with pytest.raises(errors.UserError, match="no statistics of 'action'"):
    examination._block({"action": {}}, "action")


def test_noise_in_the_range_of_the_data() -> None:
  config = config_lib.default_config()
  config.dataset.update(state="", environment_state="environment_state")
  made = examination._calibrate(
    config,
    SPEC,
    {"environment_state": {"min": [1.0, -3.0], "max": [1.0, 3.0]}},
    np.random.default_rng(0),
    500,
  )
  drawn = made["environment_state"]
  assert made.keys() == {"environment_state"}
  np.testing.assert_array_equal(drawn[:, 0], 1.0)
  assert drawn[:, 1].std() == pytest.approx(6 / 12**0.5, rel=0.1)


@pytest.mark.slow  # runs the policy in a fresh process
def test_an_imported_policy_can_be_signed(tmp_path: pathlib.Path) -> None:
  step = importing.import_policy(
    str(FIXTURES / "run"), tmp_path / "run", importing.Asked()
  )
  told = ["--allow-missing=training_datasets", "--allow-missing=run_log"]
  data = ["--dataset-path", DATA, "--reason", "imported"]
  assert generate_command.main([str(step), *told, *data]) == 0
  assert sign_command.main([str(step), "--reason", "imported"]) == 0


@pytest.mark.slow
def test_training_goes_on_where_lerobot_stopped(tmp_path: pathlib.Path) -> None:
  step = importing.import_policy(
    str(FIXTURES / "run"), tmp_path / "run", importing.Asked()
  )
  config = continued(tmp_path / "run").unlock()
  start = int(step.name)
  config.update(total_steps=start + 2, batch_size=2)
  config.dataset.path = f"lerobot:{DATA}"
  train.train(config, tmp_path / "more")
  before = checkpoint_lib.read(step, components=("agent",))["agent"]
  after = checkpoint_lib.read(tmp_path / "more", components=("agent",))["agent"]
  assert after["step"] == start + 2
  counts = [int(_count(x["optimizer"])) for x in (before, after)]
  assert counts[1] == counts[0] + 2
  heads = [x["params"]["action_head"]["kernel"] for x in (before, after)]
  moved = heads[1] - heads[0]
  rate = config.optimizer.learning_rate
  assert 0 < np.abs(moved).max() < 4 * rate  # as far as AdamW goes in 2 steps


def _count(optimizer: Any) -> Any:
  """Returns the one number without axes in the tree of an optimizer."""
  if not isinstance(optimizer, dict):
    return optimizer if np.ndim(optimizer) == 0 else None
  found = (_count(value) for value in optimizer.values())
  return next((x for x in found if x is not None), None)
