"""Episodes that are left out are gone everywhere, and nothing else is."""

import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import hand_made

from act.recordings import subset
from carnet import errors


def test_the_rest_stays_as_it_was():
  whole = hand_made.recording()
  found = subset.without(whole, (2,))
  assert found.episodes.tolist() == [0, 3]
  assert found.lengths.tolist() == [7, 6]
  assert found.tasks == ("push", "lift")
  rows = [*range(7), *range(12, 18)]
  for name, vector in found.vectors.items():
    np.testing.assert_array_equal(
      vector.values, whole.vectors[name].values[rows]
    )
    assert vector.names == whole.vectors[name].names
  images = found.open_images(("observation.images.top",))
  read = images.read(np.array([6, 7, 12]))["observation.images.top"]
  assert read[:, 0, 0, 0].tolist() == [6, 12, 17]


def test_nothing_excluded_is_the_recording_itself():
  whole = hand_made.recording()
  assert subset.without(whole, ()) is whole
  assert subset.without(whole, (1,)).episodes.tolist() == [0, 2, 3]  # skipped


@pytest.mark.parametrize(
  ("excluded", "message"),
  [
    ((4,), "has 4, .* episodes 0 to 3"),
    ((0, 2, 3), "no episode of .* is left"),
  ],
)
def test_refusals(excluded, message):
  with pytest.raises(errors.UserError, match=message):
    subset.without(hand_made.recording(), excluded)
