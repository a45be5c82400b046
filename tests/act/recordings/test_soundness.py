"""Broken pictures are found by looking, and episodes left out by request."""

import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import hand_made

from act import dataset
from act.recordings import base, opening, soundness
from carnet import errors

BROKEN = 9  # a frame of episode 2, whose frames are 7 to 11


class Spoilt(hand_made.Images):
  """A camera with one frame that no decoder takes."""

  def read(self, frames: np.ndarray) -> dict[str, np.ndarray]:
    if BROKEN in frames.tolist():
      raise errors.UserError(f"left.mp4: frame {BROKEN} is broken")
    return super().read(frames)


@pytest.fixture
def spoilt(monkeypatch):
  found = hand_made.recording(
    open_images=lambda names: Spoilt(tuple(names)), skipped=()
  )
  monkeypatch.setattr(opening, "open", lambda origin, options=None: found)
  return found


def test_the_episode_of_a_broken_picture_is_found(spoilt, capsys):
  (bad,) = soundness.undecodable(spoilt, ("observation.images.left",))
  assert bad == base.Skipped(2, f"left.mp4: frame {BROKEN} is broken")
  assert "3/3" in capsys.readouterr().out


def test_it_is_left_out_where_that_is_allowed(spoilt):
  data = dataset.open("lerobot:numbers", state="state", skip_bad=True)
  assert data.episodes.tolist() == [0, 3]
  assert [x.episode for x in data.skipped] == [2]
  assert data.metadata["skipped"][0]["reason"].startswith("left.mp4")
  # and without looking again, where a checkpoint tells
  known = dataset.open(
    "lerobot:numbers", state="state", skip_bad=True, known_bad=data.skipped
  )
  assert known.metadata == data.metadata
  np.testing.assert_array_equal(known.actions, data.actions)


def test_nothing_is_looked_at_where_it_is_not_asked(spoilt):
  data = dataset.open("lerobot:numbers", state="state")
  assert data.episodes.tolist() == [0, 2, 3]


def test_unsound_episodes_are_refused_unless_they_are_excluded():
  found = hand_made.recording()  # of which episode 1 was skipped
  with pytest.raises(errors.UserError, match=r"episode 1: file-000.*NaN"):
    soundness.refuse_bad(found, ())
  assert soundness.refuse_bad(found, (1,)).skipped == ()


def test_what_other_data_left_out_is_not_looked_for(spoilt):
  found = soundness.skip(spoilt, [base.Skipped(77, "of another dataset")])
  assert found.episodes.tolist() == [0, 2, 3]
  assert found.skipped == ()


def test_an_unsound_episode_can_be_excluded_by_its_number(monkeypatch):
  whole = hand_made.recording()  # of which episode 1 was skipped
  monkeypatch.setattr(opening, "open", lambda origin, options=None: whole)
  with pytest.raises(errors.UserError, match="episode 1: "):
    dataset.open("lerobot:numbers", state="state", exclude=(3,))
  data = dataset.open("lerobot:numbers", state="state", exclude=(1, 3))
  assert data.episodes.tolist() == [0, 2]
  assert data.skipped == ()
