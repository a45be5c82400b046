"""The drawing of the chain from sensor to action."""

import sample

from carnet.checkpoint import directory
from carnet.passport import (
  schema,
)
from carnet.passport.page import boxes


def test_the_drawing_joins_sensors_in_the_model(original):
  found = boxes.build(schema.read(original / directory.PASSPORT))
  assert [box.title for box in found] == [
    *(sample.CAMERA, "0 scale", "1 standardize", "state", "2 standardize"),
    *("Policy", "3 unstandardize", "4 execute_chunk", "command"),
  ]
  model = found[5]
  assert [box.title for box in model.above] == [
    "1 standardize",
    "2 standardize",
  ]
  assert [box.column for box in found[:5]] == [0, 0, 0, 1, 1]
  for box in found:
    for above in box.above:
      assert above.top + above.height < box.top
  for box in found:  # no two boxes lie on each other
    for other in found:
      apart = (
        box.top >= other.top + other.height
        or other.top >= box.top + box.height
        or box.left >= other.left + other.width
        or other.left >= box.left + box.width
      )
      assert box is other or apart
  assert "mean 0.485, 0.456," in found[2].lines


def test_a_step_that_joins_keys_is_as_wide_as_they_are(step):
  join = {
    **{"index": 3, "stage": "pre", "op": "concatenate", "invertible": False},
    **{"input_key": "all", "output_key": "all", "code_ref": "x"},
    "params": {"keys": ["state", sample.CAMERA], "axis": "features"},
  }
  found = boxes.build(sample.passport(step, **{"transform_pipeline/3": join}))
  joined, model = found[5:7]
  assert (joined.title, joined.column, joined.columns) == (
    "3 concatenate",
    0,
    2,
  )
  assert [box.title for box in joined.above] == [
    "2 standardize",
    "1 standardize",
  ]
  assert model.above == [joined]


def test_a_camera_without_steps_goes_straight_to_the_model(step):
  made = sample.passport(step, transform_pipeline=[])
  camera, model, command = boxes.build(made)
  assert (camera.title, model.above) == (sample.CAMERA, [camera])
  assert command.above == [model]
