"""An observation that the policy does not know is refused, not answered."""

import numpy as np
import pytest
import tiny_act

from act import features, observing
from carnet import errors

SPEC = features.Features(
  images=(("top", (8, 6, 3)),), action_size=3, state_size=4
)
KEYS = ("images/top", "qpos")


def _shown(**changes):
  good = {
    "images/top": np.zeros((2, 8, 6, 3), np.uint8),
    "qpos": np.zeros((2, 4), np.float32),
    "unused": np.zeros(1),
  }
  return good | changes


def _select(observation, batch_size=2):
  expected = observing.shapes(tiny_act.config(), SPEC, None)
  return observing.select(observation, KEYS, expected, batch_size)


def test_what_is_looked_at_is_returned():
  assert set(_select(_shown())) == set(KEYS)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"images/top": np.zeros((2, 6, 8, 3), np.uint8)},
      r"'images/top' .* \[2, 6, 8, 3\], .* \[2, 8, 6, 3\]",
    ),
    ({"images/top": np.zeros((1, 8, 6, 3), np.uint8)}, r"\[1, 8, 6, 3\]"),
    ({"images/top": np.zeros((8, 6, 3), np.uint8)}, r"\[8, 6, 3\]"),
    ({"qpos": np.zeros((2, 5), np.float32)}, r"'qpos' .* \[2, 5\]"),
    ({"qpos": np.full((2, 4), np.nan, np.float32)}, "'qpos' .* not finite"),
    ({"qpos": np.full((2, 4), np.inf, np.float32)}, "look at the sensor"),
  ],
)
def test_refusals(changes, message):
  with pytest.raises(errors.UserError, match=message):
    _select(_shown(**changes))


def test_a_missing_camera_shows_both_lists():
  shown = _shown()
  del shown["images/top"]
  message = "takes images/top, qpos; .* has qpos, unused: 'images/top'"
  with pytest.raises(errors.UserError, match=message):
    _select(shown)
