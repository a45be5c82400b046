"""A policy beside the recorded actions: by hand, and the whole way."""

import dataclasses
import json
import shutil

import hand_made
import numpy as np
import pytest
import tiny_config

from act import dataset, evaluation, open_loop, open_loop_report, train
from carnet import errors


@dataclasses.dataclass
class Scripted:
  """Looks every second step, and answers with a given action each step."""

  answers: np.ndarray
  seen: list

  def init(self, batch_size):
    assert batch_size == 1
    return 0

  def needs_observation(self, carry):
    return carry % 2 == 0

  def act(self, carry, observation, key):
    assert (observation is not None) == self.needs_observation(carry)
    if observation is not None:
      self.seen.append(observation)
    return carry + 1, self.answers[carry][None]


@pytest.fixture
def data(monkeypatch):
  hand_made.install(monkeypatch)
  return dataset.open("lerobot:numbers", state="state", skip_bad=True)


def _config():
  config = tiny_config.get_config()
  config.dataset.state = "state"
  return config


def test_an_episode_is_played_as_the_policy_looks(data):
  answers = np.arange(15, dtype=np.float32).reshape(5, 3)
  policy = Scripted(answers, [])
  episode = open_loop.play(policy, _config(), data, 1)
  assert episode.number == 2  # as the data number it
  np.testing.assert_array_equal(episode.recorded, data.actions[7:12])
  np.testing.assert_array_equal(episode.predicted, answers)
  # the last action before each look, at frames 0, 2 and 4
  held = data.actions[[7, 7, 8, 8, 10]]
  np.testing.assert_array_equal(episode.held, held)
  assert [int(x["images/top"][0, 0, 0, 0]) for x in policy.seen] == [7, 9, 11]
  np.testing.assert_array_equal(policy.seen[1]["state"], data.state[[9]])


def test_errors_by_hand():
  recorded = np.array([[0, 5], [2, 5], [4, 5]], np.float32)
  predicted = np.array([[1, 5], [1, 6], [1, 7]], np.float32)
  held = np.array([[0, 5], [0, 5], [2, 5]], np.float32)
  episode = open_loop.Episode(0, recorded, predicted, held)
  first, second = open_loop.measure([episode], ("a", "b"))
  assert (first.error, first.holding) == pytest.approx((5 / 3, 4 / 3))
  assert first.deviation == pytest.approx(np.sqrt(8 / 3))
  assert first.spread == 0.0
  assert first.faults == ("hardly moves", "worse than holding still")
  assert (second.error, second.holding, second.spread) == (1.0, 0.0, 1.0)
  assert second.faults == ()  # what never moved cannot be held better


@pytest.fixture(scope="module")
def trained(tiny_dataset, tmp_path_factory):
  """Returns the workdir of a policy without a simulator."""
  config = tiny_config.get_config()
  config.total_steps = 2
  config.environment.update(name="", cameras=())
  config.dataset.update(path=str(tiny_dataset), cameras=("*",))
  workdir = tmp_path_factory.mktemp("open_loop") / "run"
  train.train(config, workdir)
  return workdir


def test_held_out_episodes_are_compared_and_filed(trained, capsys):
  report = open_loop.evaluate(evaluation.load(trained), "", 50)
  held_out = dataset.split(6, 0.34, 0)[1]
  assert report.held_out
  assert [x.number for x in report.episodes] == list(held_out)
  filed = json.loads(report.results.read_text())
  assert report.results.parts[-3:-1] == ("evaluation", "000000002_open_loop")
  assert len(filed["dimensions"]) == 14
  assert filed["episodes"][0]["frames"] == 20
  open_loop_report.show(report)
  printed = capsys.readouterr().out
  assert "held out of the training" in printed
  assert (report.results.parent / "curves.png").stat().st_size > 10_000


def test_other_recordings_must_be_of_this_robot(trained, data):
  loaded = evaluation.load(trained)
  with pytest.raises(errors.UserError, match=r"'wrist' .*left \(obs"):
    open_loop.evaluate(loaded, "lerobot:numbers", 1)


def test_cameras_are_named_in_the_checkpoint(trained):
  config = json.loads((trained / "config.json").read_text())
  assert config["dataset"]["cameras"] == ["top", "wrist"]


def test_other_data_count_whole_and_are_no_held_out_ones(
  trained, tiny_dataset, tmp_path
):
  moved = shutil.copytree(tiny_dataset, tmp_path / "moved")
  loaded = evaluation.load(trained)
  same = open_loop.evaluate(loaded, str(moved), 50)
  assert same.held_out
  assert [x.number for x in same.episodes] == list(dataset.split(6, 0.34, 0)[1])
  metadata = moved / "metadata.json"
  metadata.write_text(metadata.read_text().replace('"carnet":', '"Carnet":'))
  other = open_loop.evaluate(loaded, str(moved), 50)
  assert not other.held_out
  assert [x.number for x in other.episodes] == [*range(6)]


def test_what_was_held_out_of_changed_data_nobody_knows(tiny_dataset, tmp_path):
  place = shutil.copytree(tiny_dataset, tmp_path / "data")
  config = tiny_config.get_config()
  config.total_steps = 1
  config.environment.update(name="", cameras=())
  config.dataset.path = str(place)
  train.train(config, tmp_path / "run")
  metadata = place / "metadata.json"
  metadata.write_text(metadata.read_text().replace('"carnet":', '"Carnet":'))
  loaded = evaluation.load(tmp_path / "run")
  with pytest.raises(errors.UserError, match="nobody knows what was held out"):
    open_loop.evaluate(loaded, "", 50)
  with pytest.raises(
    errors.UserError, match=r"is not what the run in .* began"
  ):
    train.train(config, tmp_path / "run")
