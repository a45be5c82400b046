"""What the replay buffer refuses, in one line each."""

import ml_dtypes
import numpy as np
import pytest
import tiny_replay

from carnet import errors


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"reward": np.float32(np.nan)}, "'reward' holds a NaN"),
    ({"place": np.array([0, np.nan], np.float32)}, "'place' holds a NaN"),
    ({"deter": np.full(3, np.nan, ml_dtypes.bfloat16)}, "'deter' holds a NaN"),
    ({"place": np.zeros(3, np.float32)}, "'place' is float32[3] instead of"),
    ({"reward": np.float64(0)}, "'reward' is float64[] instead of float32[]"),
    ({"more": np.zeros(1)}, "'more' was not there before"),
    ({"image": None}, "'image' is missing"),
  ],
)
def test_a_bad_step_is_named_and_changes_nothing(change, message):
  buffer = tiny_replay.filled([3, 3])
  step = {**tiny_replay.step_of(1, 3), **change}
  step = {key: value for key, value in step.items() if value is not None}
  with pytest.raises(errors.UserError) as caught:
    buffer.add(1, step)
  assert message in str(caught.value)
  assert "step 3 of stream 1" in str(caught.value)
  assert "\n" not in str(caught.value)
  assert buffer.steps == 6


@pytest.mark.parametrize(
  "change",
  [
    {"reward": None},
    {"stepid": np.zeros(1)},
    {"name": np.array("text")},
    {"reward": np.float32(np.nan)},
  ],
)
def test_a_bad_first_step_is_named(change):
  buffer = tiny_replay.buffer_of()
  step = {**tiny_replay.step_of(0, 0), **change}
  step = {key: value for key, value in step.items() if value is not None}
  with pytest.raises(errors.UserError, match=next(iter(change))) as caught:
    buffer.add(0, step)
  assert "step 0 of stream 0" in str(caught.value)
  buffer.add(0, tiny_replay.step_of(0, 0))
  assert buffer.steps == 1


def test_a_batch_longer_than_the_data_is_an_error():
  with pytest.raises(errors.UserError, match="longest stream has 4"):
    tiny_replay.filled([4, 3]).sample(1)
  with pytest.raises(errors.UserError, match="longest stream has 0"):
    tiny_replay.buffer_of().sample(1)


def test_settings_that_cannot_work_are_errors():
  with pytest.raises(errors.UserError, match="did you mean 'recency'"):
    tiny_replay.buffer_of(fractions={"recencey": 1.0})
  with pytest.raises(errors.UserError, match="add up to 1"):
    tiny_replay.buffer_of(fractions={"uniform": 0.4})
  with pytest.raises(errors.UserError, match="use at least 16"):
    tiny_replay.buffer_of(capacity=15)
  with pytest.raises(errors.UserError, match="too small for 2 streams"):
    tiny_replay.filled([1, 1], capacity=20)
  buffer = tiny_replay.filled([9], latents=False)
  with pytest.raises(errors.UserError, match="holds no latents"):
    buffer.update_latents(np.zeros(1), np.zeros((1, 3)), np.zeros((1, 2, 2)))
  with pytest.raises(errors.UserError, match="negative, infinite or NaN"):
    tiny_replay.filled([9]).prioritize(np.zeros(1), np.array([np.nan]))
  with pytest.raises(errors.UserError, match=r"'stoch' are \[1, 3\] instead"):
    tiny_replay.filled([9]).update_latents(
      np.zeros(1), np.zeros((1, 3)), np.zeros((1, 3))
    )
