"""What LeRobot has no words for, and what is unsound, before it is written."""

import json
import pathlib
import shutil
import sys
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import a_checkpoint

from act import features as features_lib
from act.lerobot import exporting, stored_policy
from carnet import checkpoint as checkpoint_lib
from carnet import errors

SPEC = features_lib.Features((), 3, 4, 5)


def save(workdir: pathlib.Path, **kwargs: Any) -> pathlib.Path:
  """Returns a checkpoint that is quickly exported: no camera."""
  config = a_checkpoint.config(
    {"use_vae": False}, dataset={"environment_state": "environment_state"}
  )
  return a_checkpoint.save(workdir, config, SPEC, **kwargs)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  return save(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def step(saved: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
  """Returns a copy to be damaged."""
  return shutil.copytree(saved, tmp_path / "run/checkpoints" / saved.name)


def refuse(
  tmp_path: pathlib.Path, step: pathlib.Path, message: str, **asked: Any
) -> None:
  """Checks that the export fails, and that nothing is left behind."""
  before = sorted(tmp_path.rglob("*"))
  with pytest.raises(errors.UserError, match=message):
    exporting.export_policy(step, tmp_path / "out", exporting.Asked(**asked))
  assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
  ("model", "message"),
  [
    ({"backbone": "small", "backbone_norm": "group"}, 'no backbone "small"'),
    ({"backbone_norm": "group"}, 'no backbone_norm "group"'),
    ({"backbone_widths": (8, 16, 32, 64)}, r"this one \(8, 16, 32, 64\)"),
  ],
)
def test_network_that_lerobot_lacks(
  model: dict[str, Any], message: str
) -> None:
  options = a_checkpoint.config(model).model
  with pytest.raises(errors.UserError, match=message) as caught:
    stored_policy.check(options, a_checkpoint.FEATURES, any_widths=False)
  assert "train with" in str(caught.value)


def test_network_that_was_chosen_before_training() -> None:
  """It is too late to follow the advice: there is another way to the robot."""
  for model in (
    {"backbone": "small", "backbone_norm": "group"},
    {"backbone_norm": "group"},
  ):
    options = a_checkpoint.config(model).model
    with pytest.raises(errors.UserError) as caught:
      stored_policy.check(options, a_checkpoint.FEATURES, any_widths=True)
    message = str(caught.value)
    assert "decided before the training" in message
    assert "configs/act/lerobot.py (not its variant :scratch)" in message
    assert "carnet.policy.load" in message


def test_policy_that_sees_nothing() -> None:
  spec = features_lib.Features((), 3, 4)
  options = a_checkpoint.config().model
  with pytest.raises(errors.UserError, match="neither a camera nor"):
    stored_policy.check(options, spec, any_widths=False)


def test_backbone_does_not_matter_without_cameras() -> None:
  options = a_checkpoint.config({"backbone": "small"}).model
  stored_policy.check(options, SPEC, any_widths=False)


def test_dreamer_is_refused_by_name(tmp_path: pathlib.Path) -> None:
  with checkpoint_lib.Checkpoint(tmp_path / "checkpoints") as found:
    found.attach("config.json", {"agent": "dreamer"})
    found.register("step", {"count": 1})
    found.save(1)
  refuse(tmp_path, tmp_path, "is a checkpoint of DreamerV3, which LeRobot does")


def test_something_is_there_already(
  step: pathlib.Path, tmp_path: pathlib.Path
) -> None:
  (tmp_path / "out").mkdir()
  (tmp_path / "out/precious").write_text("x")
  refuse(tmp_path, step, "holds something already")


def test_out_is_a_file_or_a_link(tmp_path: pathlib.Path) -> None:
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "out").symlink_to("elsewhere")
  refuse(tmp_path, tmp_path / "run", "is no directory")
  (tmp_path / "out").unlink()
  (tmp_path / "out").write_text("x")
  refuse(tmp_path, tmp_path / "run", "is no directory")


def test_out_lies_in_a_checkpoint(
  step: pathlib.Path, tmp_path: pathlib.Path
) -> None:
  with pytest.raises(errors.UserError, match="to which nothing is added"):
    exporting.export_policy(step, step / "lerobot/out")


def test_no_checkpoint(tmp_path: pathlib.Path) -> None:
  refuse(tmp_path, tmp_path / "run", "no checkpoint at")


@pytest.mark.parametrize("name", ["stats.json", "config.json", "dataset.json"])
def test_damaged_file_is_found(
  step: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
  content = (step / name).read_text()
  (step / name).write_text(content.replace("0", "1", 1))
  refuse(tmp_path, step, name)


def test_damaged_weights_are_found(
  step: pathlib.Path, tmp_path: pathlib.Path
) -> None:
  files = [x for x in (step / "agent").rglob("*") if x.is_file()]
  largest = max(files, key=lambda x: x.stat().st_size)
  content = bytearray(largest.read_bytes())
  middle = len(content) // 2
  content[middle : middle + 64] = bytes(64)
  largest.write_bytes(content)
  refuse(tmp_path, step, "agent")


def test_statistics_that_are_missing(tmp_path: pathlib.Path) -> None:
  blocks = a_checkpoint.blocks(SPEC)
  del blocks["action"]["std"]
  step = save(tmp_path / "run", blocks_of=blocks)
  refuse(tmp_path, step, "no 'std' of 'action', which its normalization")


def test_disk_that_cannot_be_written(
  step: pathlib.Path, tmp_path: pathlib.Path
) -> None:
  (tmp_path / "file").write_text("x")
  with pytest.raises(errors.UserError, match="cannot write"):
    exporting.export_policy(step, tmp_path / "file/out")


def test_workdir_and_empty_directory(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  """A long number stays whole; a repo id goes in; the papers are named."""
  step = save(tmp_path / "run", step=1_234_567)
  (step / "MODEL_PASSPORT.json").write_text("{}\n")
  (tmp_path / "out").mkdir()
  found = exporting.export_policy(
    tmp_path / "run", tmp_path / "out", exporting.Asked(repo_id="me/data")
  )
  assert found == tmp_path / "out/checkpoints/1234567/pretrained_model"
  train = json.loads((found / "train_config.json").read_text())
  assert train["dataset"]["repo_id"] == "me/data"
  facts = json.loads((found / "carnet.json").read_text())
  assert set(facts["sha256"]) == {
    *("manifest.json", "MODEL_PASSPORT.json", "leaves")
  }
  assert not capsys.readouterr().err
