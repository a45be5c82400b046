"""The replay in device memory: what is sampled, and how often."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamer import device_replay

ENVIRONMENTS = 3


def _step(time):
  row = jnp.arange(ENVIRONMENTS, dtype=jnp.int32)
  image = jnp.full((ENVIRONMENTS, 2), time % 256, jnp.uint8)
  zero = jnp.zeros((ENVIRONMENTS, 1), jnp.float32)
  return {"time": 1000 * row + time, "image": image, "deter": zero}


@pytest.fixture
def filled():
  def fill(capacity, count):
    replay = device_replay.create(capacity, _step(0))
    add = jax.jit(device_replay.add)
    for time in range(count):
      replay = add(replay, _step(time))
    return replay

  return fill


@pytest.mark.parametrize("count", [5, 12, 13, 29])
def test_sequences_are_consecutive_steps_that_are_still_there(filled, count):
  replay = filled(12, count)
  found, _ = device_replay.sample(replay, 200, 4, jax.random.key(1))
  times = np.asarray(found["time"])
  assert (np.diff(times, axis=1) == 1).all()
  within = times % 1000
  assert within.min() == max(0, count - 12)
  assert within.max() == count - 1
  np.testing.assert_array_equal(found["image"][..., 0], within)
  assert found["image"].dtype == jnp.uint8


def test_all_starts_and_environments_are_equally_likely(filled):
  replay = filled(12, 20)
  found, _ = device_replay.sample(replay, 27_000, 4, jax.random.key(2))
  starts, counts = np.unique(found["time"][:, 0], return_counts=True)
  assert len(starts) == 9 * ENVIRONMENTS
  chi_square = ((counts - 1000) ** 2 / 1000).sum()
  assert chi_square < 54.1  # 26 degrees of freedom, p = 0.001


def test_latents_are_written_where_they_were_read(filled):
  replay = filled(12, 17)
  found, places = device_replay.sample(replay, 8, 4, jax.random.key(3))
  marks = found["time"][..., None].astype(jnp.float32)
  replay = device_replay.write_back(replay, places, {"deter": marks})
  written = np.asarray(replay.steps["deter"])[..., 0]
  times = np.asarray(replay.steps["time"])
  touched = written != 0
  np.testing.assert_array_equal(written[touched], times[touched])
  assert set(written[touched]) == set(np.ravel(found["time"]).tolist()) - {0}


def test_the_position_and_size_by_hand(filled):
  replay = filled(4, 6)
  assert (int(replay.position), int(replay.size)) == (2, 4)
  assert np.asarray(replay.steps["time"])[:, 1].tolist() == [
    *(1004, 1005, 1002, 1003)
  ]
