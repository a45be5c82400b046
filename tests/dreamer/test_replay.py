"""What is sampled from the replay buffer in host memory."""

import collections
import subprocess
import sys

import numpy as np
import pytest
import tiny_replay
from scipy import stats

MODULES = "replay, replay_chunks, replay_state, selectors, ratio"


def test_imports_no_jax():
  code = (
    f"import sys\nfrom dreamer import {MODULES}\n"
    "assert not {'jax', 'flax', 'orbax'} & set(sys.modules)"
  )
  subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_batch_is_consecutive_steps_of_one_stream_as_they_were_added():
  buffer = tiny_replay.filled([23, 9, 4])
  batch = buffer.sample(200)
  assert set(tiny_replay.starts_of(batch)) == {(0, p) for p in range(19)} | {
    (1, p) for p in range(5)
  }
  for row, (stream, start) in enumerate(tiny_replay.starts_of(batch)):
    for offset in range(tiny_replay.LENGTH):
      step = tiny_replay.step_of(stream, start + offset)
      step["is_first"] |= offset == 0
      for key, value in step.items():
        assert batch[key].dtype == value.dtype
        np.testing.assert_array_equal(batch[key][row, offset], value)
  assert batch["stepid"].shape == (200, tiny_replay.LENGTH)
  assert len(buffer) == 24
  assert buffer.steps == 36


def test_an_abandoned_episode_is_marked_last():
  buffer = tiny_replay.buffer_of()
  for position in range(tiny_replay.LENGTH):
    step = tiny_replay.step_of(0, position)
    step["is_first"], step["is_last"] = np.bool_(position == 3), np.bool_(False)
    buffer.add(0, step)
  batch = buffer.sample(1)
  assert batch["is_last"][0].tolist() == [False, False, True, False, False]
  assert batch["is_first"][0].tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_uniform_over_the_items_that_are_there(seed):
  buffer = tiny_replay.filled(
    [60, 30, 11], seed=seed
  )  # old blocks were evicted
  counts = collections.Counter()
  for _ in range(40):
    counts.update(tiny_replay.starts_of(buffer.sample(200)))
  assert len(counts) == len(buffer)
  assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_capacity_is_respected_and_nothing_evicted_is_read():
  buffer = tiny_replay.buffer_of(capacity=40)
  for position in range(200):
    for stream in range(1 + (position > 50)):
      buffer.add(stream, tiny_replay.step_of(stream, position - 51 * stream))
      assert buffer.steps <= 40
      assert buffer.steps > 40 - tiny_replay.CHUNK or position < 60
  batch = buffer.sample(500)
  assert batch["place"][:, :, 1].min() >= 140 - 51
  oldest = {s: batch["place"][batch["place"][:, 0, 0] == s] for s in (0, 1)}
  for stream, last in ((0, 199), (1, 148)):
    positions = oldest[stream][:, :, 1]
    assert positions.max() == last
    assert positions.min() % tiny_replay.CHUNK == 0
    assert positions.min() > last - 40


def test_blocks_go_in_the_order_in_which_they_were_full():
  buffer = tiny_replay.filled([10, 8], capacity=24)
  for position in range(8, 16):  # the block of stream 0 was full first
    buffer.add(1, tiny_replay.step_of(1, position))
  assert {s for s, _ in tiny_replay.starts_of(buffer.sample(100))} == {1}
  assert buffer.steps == 18


def test_online_gives_every_step_exactly_once_first():
  buffer = tiny_replay.buffer_of(online=True)
  seen = collections.Counter()
  for position in range(40):
    for stream in range(2):
      buffer.add(stream, tiny_replay.step_of(stream, position))
    if position % tiny_replay.LENGTH == tiny_replay.LENGTH - 1:
      assert len(buffer.sample(1, train=False)["place"]) == 1
      places = buffer.sample(2)["place"].reshape(-1, 2)
      seen.update((int(s), int(p)) for s, p in places)
  assert seen == {(s, p): 1 for s in range(2) for p in range(40)}


def test_the_online_queue_forgets_what_is_evicted():
  buffer = tiny_replay.filled([200], online=True, capacity=24)
  starts = [start for _, start in tiny_replay.starts_of(buffer.sample(3))]
  assert starts == sorted(starts)
  assert starts[0] >= 200 - 24


def test_latents_are_written_back_and_never_to_others():
  buffer = tiny_replay.filled([30, 30])
  expected = {}
  for number in range(100, 110):
    batch = buffer.sample(3)
    deter = np.full((3, tiny_replay.LENGTH, 3), number, np.float32)
    deter[..., 0] = np.arange(3)[:, None]
    stoch = np.full((3, tiny_replay.LENGTH, 2, 2), number)
    buffer.update_latents(batch["stepid"], deter, stoch)
    for row in range(3):
      for stream, position in batch["place"][row]:
        expected[int(stream), int(position)] = (row, number)
  batch = buffer.sample(300)
  for row in range(300):
    for offset, (stream, position) in enumerate(batch["place"][row]):
      key = (int(stream), int(position))
      first, number = expected.get(key, (position % 100, position % 100))
      assert batch["deter"][row, offset].tolist() == [first, number, number]
      assert (batch["stoch"][row, offset] == number).all()


def test_latents_of_evicted_or_unknown_steps_are_ignored():
  buffer = tiny_replay.filled([20], capacity=24)
  ids = buffer.sample(50)["stepid"]
  for position in range(20, 70):
    buffer.add(0, tiny_replay.step_of(0, position))
  ids[0] = 10**6, 5 << 40, -1, 1 << 50, 71
  before = buffer.sample(50, train=False)
  buffer.update_latents(
    ids,
    np.full((50, tiny_replay.LENGTH, 3), 200.0),
    np.full((50, tiny_replay.LENGTH, 2, 2), 200),
  )
  after = buffer.sample(50, train=False)
  assert before["deter"].max() < 100
  assert after["deter"].max() < 100
  assert after["stoch"].max() < 100


def test_priorities_weigh_items_with_their_exponent():
  buffer = tiny_replay.filled(
    [20], fractions={"priority": 1.0}, priority_exponent=2.0, seed=3
  )
  ids = np.arange(16)
  buffer.prioritize(ids, np.where(ids < 14, 0.0, ids - 13.0))
  counts = collections.Counter(tiny_replay.starts_of(buffer.sample(5000)))
  assert set(counts) == {(0, 14), (0, 15)}
  observed = [counts[0, 14], counts[0, 15]]
  assert stats.chisquare(observed, [1000, 4000]).pvalue > 1e-3
  buffer.prioritize(ids, np.zeros(16))
  assert len(set(tiny_replay.starts_of(buffer.sample(500)))) == 16
  buffer.add(
    0, tiny_replay.step_of(0, 20)
  )  # new items have the initial priority
  assert set(tiny_replay.starts_of(buffer.sample(50))) == {(0, 16)}


def test_recency_is_a_power_law():
  buffer = tiny_replay.filled(
    [20], fractions={"recency": 1.0}, recency_exponent=1.0
  )
  counts = collections.Counter(tiny_replay.starts_of(buffer.sample(8000)))
  weights = 1 / np.arange(1, 17)
  observed = [counts[0, 15 - age] for age in range(16)]
  expected = 8000 * weights / weights.sum()
  assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_fractions_mix_selectors():
  buffer = tiny_replay.filled(
    [20], fractions={"uniform": 0.25, "priority": 0.75}, seed=1
  )
  buffer.prioritize(np.arange(16), np.arange(16) == 3)
  counts = collections.Counter(tiny_replay.starts_of(buffer.sample(4000)))
  threes = counts[0, 3]
  expected = 4000 * (0.75 + 0.25 / 16)
  chi = stats.chisquare([threes, 4000 - threes], [expected, 4000 - expected])
  assert chi.pvalue > 1e-3
