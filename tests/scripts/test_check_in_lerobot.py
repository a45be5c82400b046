"""What of scripts/check_in_lerobot.py needs neither torch nor LeRobot."""

import importlib.util
import pathlib
import sys

import numpy as np
import pytest

PATH = pathlib.Path(__file__).parents[2] / "scripts/check_in_lerobot.py"


class Tensor:
  """As much of torch's as is asked for; a batch of one."""

  def __init__(self, values):
    self._values = np.float32(values)

  def squeeze(self, axis):
    assert axis == 0
    return self

  def cpu(self):
    return self

  def numpy(self):
    return self._values


@pytest.fixture(scope="module")
def script():
  spec = importlib.util.spec_from_file_location("check_in_lerobot", PATH)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_equal_actions_pass(script):
  ours = np.float32([[1.0, 2.0], [3.0, 4.0]])
  theirs = [Tensor(row * (1 + 1e-6)) for row in ours]
  line = script._compare("chunk", theirs, ours, np.float32([3.0, 4.0]), 1e-5)
  assert line.startswith("chunk [2, 2]: largest relative difference ")
  assert 5e-7 < float(line.split()[-1]) < 2e-6


@pytest.mark.parametrize(
  ("theirs", "message"),
  [
    ([[1.0, 2.0], [3.0, 4.001]], "more than 1e-05"),
    ([[1.0, 2.0], [3.0, np.nan]], "more than 1e-05"),
    ([[1.0], [3.0]], "shape"),
  ],
)
def test_other_actions_fail(script, theirs, message):
  ours = np.float32([[1.0, 2.0], [3.0, 4.0]])
  scale = np.float32([3.0, 4.0])
  with pytest.raises(script._Different, match=message):
    script._compare("chunk", [Tensor(x) for x in theirs], ours, scale, 1e-5)


def test_place_of_the_policy(script, tmp_path):
  pretrained = tmp_path / "checkpoints/000003/pretrained_model"
  pretrained.mkdir(parents=True)
  (pretrained / script.EXAMPLE).touch()
  (tmp_path / "checkpoints/last").symlink_to("000003")
  for asked in (tmp_path, pretrained.parent, pretrained):
    assert script._pretrained(asked) == pretrained.resolve()


def test_what_is_no_export_is_refused(script, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(sys, "argv", ["check_in_lerobot.py", str(tmp_path)])
  with pytest.raises(SystemExit) as caught:
    script.main()
  assert caught.value.code == 2
  assert "is no export of carnet" in capsys.readouterr().err
