"""Replay in host memory: properties, against a list of steps."""

import collections
import fractions
import json
import subprocess
import sys

import hypothesis
import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies
from scipy import stats

from carnet import checkpoint, errors
from carnet.checkpoint import chunks
from dreamer import ratio, replay

LENGTH, CHUNK = 5, 8
MODULES = "replay, replay_chunks, replay_state, selectors, ratio"


def _step(stream, position, episode=7, latents=True):
  step = {
    "image": np.full((2, 2, 1), (position + stream) % 251, np.uint8),
    "place": np.array([stream, position], np.float32),
    "action": np.int32(position % 3),
    "reward": np.float32(position),
    "is_first": np.bool_(position % episode == 0),
    "is_last": np.bool_(position % episode == episode - 1),
    "is_terminal": np.bool_(False),
  }
  if latents:
    step["deter"] = np.full(3, position % 100, ml_dtypes.bfloat16)
    step["stoch"] = np.full((2, 2), position % 100, np.uint8)
  return step


def _buffer(**settings):
  known = {"length": LENGTH, "chunk_size": CHUNK, "capacity": 64}
  return replay.Replay(**{**known, "online": False, **settings})


def _filled(counts, latents=True, **settings):
  buffer = _buffer(**settings)
  for position in range(max(counts)):
    for stream, count in enumerate(counts):
      if position < count:
        buffer.add(stream, _step(stream, position, latents=latents))
  return buffer


def _starts(batch):
  return [(int(s), int(p)) for s, p in batch["place"][:, 0]]


def _equal(first, second):
  assert first.keys() == second.keys()
  for key, array in first.items():
    assert array.dtype == second[key].dtype
    np.testing.assert_array_equal(array, second[key])


def test_imports_no_jax():
  code = (
    f"import sys\nfrom dreamer import {MODULES}\n"
    "assert not {'jax', 'flax', 'orbax'} & set(sys.modules)"
  )
  subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_batch_is_consecutive_steps_of_one_stream_as_they_were_added():
  buffer = _filled([23, 9, 4])
  batch = buffer.sample(200)
  assert set(_starts(batch)) == {(0, p) for p in range(19)} | {
    (1, p) for p in range(5)
  }
  for row, (stream, start) in enumerate(_starts(batch)):
    for offset in range(LENGTH):
      step = _step(stream, start + offset)
      step["is_first"] |= offset == 0
      for key, value in step.items():
        assert batch[key].dtype == value.dtype
        np.testing.assert_array_equal(batch[key][row, offset], value)
  assert batch["stepid"].shape == (200, LENGTH)
  assert len(buffer) == 24
  assert buffer.steps == 36


def test_an_abandoned_episode_is_marked_last():
  buffer = _buffer()
  for position in range(LENGTH):
    step = _step(0, position)
    step["is_first"], step["is_last"] = np.bool_(position == 3), np.bool_(False)
    buffer.add(0, step)
  batch = buffer.sample(1)
  assert batch["is_last"][0].tolist() == [False, False, True, False, False]
  assert batch["is_first"][0].tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_uniform_over_the_items_that_are_there(seed):
  buffer = _filled([60, 30, 11], seed=seed)  # 8 + 16 and more were evicted
  counts = collections.Counter()
  for _ in range(40):
    counts.update(_starts(buffer.sample(200)))
  assert len(counts) == len(buffer)
  assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_capacity_is_respected_and_nothing_evicted_is_read():
  buffer = _buffer(capacity=40)
  for position in range(200):
    for stream in range(1 + (position > 50)):
      buffer.add(stream, _step(stream, position - 51 * stream))
      assert buffer.steps <= 40
      assert buffer.steps > 40 - CHUNK or position < 60
  batch = buffer.sample(500)
  assert batch["place"][:, :, 1].min() >= 140 - 51
  oldest = {s: batch["place"][batch["place"][:, 0, 0] == s] for s in (0, 1)}
  for stream, last in ((0, 199), (1, 148)):
    positions = oldest[stream][:, :, 1]
    assert positions.max() == last
    assert positions.min() % CHUNK == 0
    assert positions.min() > last - 40


def test_blocks_go_in_the_order_in_which_they_were_full():
  buffer = _filled([10, 8], capacity=24)
  for position in range(8, 16):  # the block of stream 0 was full first
    buffer.add(1, _step(1, position))
  assert {s for s, _ in _starts(buffer.sample(100))} == {1}
  assert buffer.steps == 18


def test_online_gives_every_step_exactly_once_first():
  buffer = _buffer(online=True)
  seen = collections.Counter()
  for position in range(40):
    for stream in range(2):
      buffer.add(stream, _step(stream, position))
    if position % LENGTH == LENGTH - 1:
      assert len(buffer.sample(1, train=False)["place"]) == 1
      places = buffer.sample(2)["place"].reshape(-1, 2)
      seen.update((int(s), int(p)) for s, p in places)
  assert seen == {(s, p): 1 for s in range(2) for p in range(40)}


def test_the_online_queue_forgets_what_is_evicted():
  buffer = _filled([200], online=True, capacity=24)
  starts = [start for _, start in _starts(buffer.sample(3))]
  assert starts == sorted(starts)
  assert starts[0] >= 200 - 24


def test_latents_are_written_back_and_never_to_others():
  buffer = _filled([30, 30])
  expected = {}
  for number in range(100, 110):
    batch = buffer.sample(3)
    deter = np.full((3, LENGTH, 3), number, np.float32)
    deter[..., 0] = np.arange(3)[:, None]
    stoch = np.full((3, LENGTH, 2, 2), number)
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
  buffer = _filled([20], capacity=24)
  ids = buffer.sample(50)["stepid"]
  for position in range(20, 70):
    buffer.add(0, _step(0, position))
  ids[0] = 10**6, 5 << 40, -1, 1 << 50, 71
  before = buffer.sample(50, train=False)
  buffer.update_latents(
    ids, np.full((50, LENGTH, 3), 200.0), np.full((50, LENGTH, 2, 2), 200)
  )
  after = buffer.sample(50, train=False)
  assert before["deter"].max() < 100
  assert after["deter"].max() < 100
  assert after["stoch"].max() < 100


def test_priorities_weigh_items_with_their_exponent():
  buffer = _filled(
    [20], fractions={"priority": 1.0}, priority_exponent=2.0, seed=3
  )
  ids = np.arange(16)
  buffer.prioritize(ids, np.where(ids < 14, 0.0, ids - 13.0))
  counts = collections.Counter(_starts(buffer.sample(5000)))
  assert set(counts) == {(0, 14), (0, 15)}
  observed = [counts[0, 14], counts[0, 15]]
  assert stats.chisquare(observed, [1000, 4000]).pvalue > 1e-3
  buffer.prioritize(ids, np.zeros(16))
  assert len(set(_starts(buffer.sample(500)))) == 16
  buffer.add(0, _step(0, 20))  # new items have the initial priority
  assert set(_starts(buffer.sample(50))) == {(0, 16)}


def test_recency_is_a_power_law():
  buffer = _filled([20], fractions={"recency": 1.0}, recency_exponent=1.0)
  counts = collections.Counter(_starts(buffer.sample(8000)))
  weights = 1 / np.arange(1, 17)
  observed = [counts[0, 15 - age] for age in range(16)]
  expected = 8000 * weights / weights.sum()
  assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_fractions_mix_selectors():
  buffer = _filled([20], fractions={"uniform": 0.25, "priority": 0.75}, seed=1)
  buffer.prioritize(np.arange(16), np.arange(16) == 3)
  counts = collections.Counter(_starts(buffer.sample(4000)))
  threes = counts[0, 3]
  expected = 4000 * (0.75 + 0.25 / 16)
  chi = stats.chisquare([threes, 4000 - threes], [expected, 4000 - expected])
  assert chi.pvalue > 1e-3


def _priority_fractions():
  return {"uniform": 0.4, "priority": 0.3, "recency": 0.3}


@pytest.mark.parametrize("latents", [True, False])
@pytest.mark.parametrize("counts", [[3], [8, 8], [50, 21, 6]])
def test_a_killed_run_samples_on_as_if_nothing_had_been(
  tmp_path, counts, latents
):
  settings = {"online": True, "fractions": _priority_fractions(), "seed": 5}
  buffer = _filled(counts, latents=latents, **settings)
  if len(buffer):
    ids = buffer.sample(4)["stepid"]
    buffer.prioritize(ids[:, 0], np.arange(4.0))
  with checkpoint.Checkpoint(tmp_path) as saved:
    saved.register("replay", buffer)
    saved.save(1)
  resumed = _buffer(**{**settings, "seed": 99})
  with checkpoint.Checkpoint(tmp_path) as saved:
    saved.register("replay", resumed)
    assert saved.load_or_save() == 1
  for position in range(counts[0], counts[0] + 40):
    for each in (buffer, resumed):
      each.add(0, _step(0, position, latents=latents))
    if position > counts[0] + LENGTH:
      first, second = buffer.sample(3), resumed.sample(3)
      _equal(first, second)
      if latents:
        for each in (buffer, resumed):
          values = np.full((3, LENGTH, 3), position % 100)
          stoch = np.full((3, LENGTH, 2, 2), position % 100)
          each.update_latents(first["stepid"], values, stoch)
  assert buffer.counts == resumed.counts


def test_a_save_writes_what_is_new(tmp_path):
  buffer = _filled([33], latents=True)  # 4 full blocks and one begun

  def files():
    return {path.name for path in tmp_path.glob("chunks/*/*.safetensors")}

  with checkpoint.Checkpoint(tmp_path) as saved:
    saved.register("replay", buffer)
    saved.save(1)
    saved.wait()
    before = files()
    assert len(before) == 10
    saved.save(2)
    saved.wait()
    assert files() == before
    ids = np.arange(LENGTH)[None]  # within the first block
    values = np.full((1, LENGTH, 3), 9), np.full((1, LENGTH, 2, 2), 9)
    buffer.update_latents(ids, *values)
    saved.save(3)
    saved.wait()
    assert len(files()) == 11
    buffer.add(0, _step(0, 33))
    saved.save(4)
    saved.wait()
    assert len(files()) == 13


def test_the_interface_is_kept():
  assert isinstance(_buffer(), replay.Buffer)


def test_a_full_block_is_not_copied_for_a_save():
  buffer = _filled([17])
  first, second = buffer.state(), buffer.state()
  assert [a is b for a, b in zip(first.chunks, second.chunks, strict=True)] == [
    True
  ] * 6
  buffer.add(0, _step(0, 17))
  third = buffer.state()
  same = [a is b for a, b in zip(first.chunks, third.chunks, strict=True)]
  assert same == [True] * 4 + [False] * 2
  assert json.loads(json.dumps(third.facts)) == third.facts
  assert not third.chunks[0].arrays["image"].flags.writeable


class Reference:
  """The same buffer as lists, whole steps in them, and nothing clever."""

  def __init__(self, capacity):
    self.capacity, self.streams, self.begins, self.full = capacity, {}, {}, []

  def add(self, stream, step):
    steps = self.streams.setdefault(stream, [])
    begin = self.begins.setdefault(stream, 0)
    steps.append(step)
    if len(steps) % CHUNK == 0:
      self.full.append(stream)
    while self.steps() > self.capacity:
      self.begins[self.full.pop(0)] += CHUNK
    assert begin <= len(steps)

  def steps(self):
    return sum(len(s) - self.begins[k] for k, s in self.streams.items())

  def items(self):
    return {
      (stream, start)
      for stream, steps in self.streams.items()
      for start in range(self.begins[stream], len(steps) - LENGTH + 1)
    }


COMMANDS = strategies.lists(
  strategies.one_of(
    strategies.tuples(
      strategies.just("add"),
      strategies.integers(0, 2),
      strategies.integers(1, 20),
    ),
    strategies.tuples(strategies.just("sample"), strategies.integers(1, 4)),
    strategies.tuples(strategies.just("reload")),
  ),
  max_size=25,
)


def _compare(batch, reference):
  items = reference.items()
  for row, (stream, start) in enumerate(_starts(batch)):
    assert (stream, start) in items
    for offset in range(LENGTH):
      step = reference.streams[stream][start + offset]
      for key in ("image", "place", "action", "reward", "deter", "stoch"):
        np.testing.assert_array_equal(batch[key][row, offset], step[key])


def _write_back(buffer, reference, batch, number):
  deter = np.full((len(batch["place"]), LENGTH, 3), number % 100)
  stoch = np.full((len(batch["place"]), LENGTH, 2, 2), number % 100)
  buffer.update_latents(batch["stepid"], deter, stoch)
  for stream, start in _starts(batch):
    for step in reference.streams[stream][start : start + LENGTH]:
      step["deter"] = np.full(3, number % 100, ml_dtypes.bfloat16)
      step["stoch"] = np.full((2, 2), number % 100, np.uint8)


def _reloaded(buffer, settings):
  state = buffer.state()
  facts = json.loads(json.dumps(state.facts))
  again = _buffer(**settings)
  again.load_state(chunks.Chunked(state.chunks, facts))
  return again


@hypothesis.given(COMMANDS, strategies.booleans())
@hypothesis.settings(max_examples=60, deadline=None)
def test_any_sequence_of_calls_agrees_with_a_list(commands, online):
  settings = {
    "capacity": 40,
    "online": online,
    "fractions": _priority_fractions(),
  }
  buffer, reference = _buffer(**settings), Reference(40)
  for number, (name, *arguments) in enumerate(commands):
    if name == "add":
      stream, count = arguments
      for _ in range(count):
        step = _step(stream, len(reference.streams.get(stream, ())))
        buffer.add(stream, step)
        reference.add(stream, dict(step))
    elif name == "sample" and reference.items():
      batch = buffer.sample(*arguments)
      _compare(batch, reference)
      _write_back(buffer, reference, batch, number)
    elif name == "reload":
      buffer = _reloaded(buffer, settings)
    assert buffer.steps == reference.steps() <= 40
    assert len(buffer) == len(reference.items())


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
  buffer = _filled([3, 3])
  step = {**_step(1, 3), **change}
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
  buffer = _buffer()
  step = {**_step(0, 0), **change}
  step = {key: value for key, value in step.items() if value is not None}
  with pytest.raises(errors.UserError, match=next(iter(change))) as caught:
    buffer.add(0, step)
  assert "step 0 of stream 0" in str(caught.value)
  buffer.add(0, _step(0, 0))
  assert buffer.steps == 1


def test_a_batch_longer_than_the_data_is_an_error():
  with pytest.raises(errors.UserError, match="longest stream has 4"):
    _filled([4, 3]).sample(1)
  with pytest.raises(errors.UserError, match="longest stream has 0"):
    _buffer().sample(1)


def test_settings_that_cannot_work_are_errors():
  with pytest.raises(errors.UserError, match="did you mean 'recency'"):
    _buffer(fractions={"recencey": 1.0})
  with pytest.raises(errors.UserError, match="add up to 1"):
    _buffer(fractions={"uniform": 0.4})
  with pytest.raises(errors.UserError, match="use at least 16"):
    _buffer(capacity=15)
  with pytest.raises(errors.UserError, match="too small for 2 streams"):
    _filled([1, 1], capacity=20)
  buffer = _filled([9], latents=False)
  with pytest.raises(errors.UserError, match="holds no latents"):
    buffer.update_latents(np.zeros(1), np.zeros((1, 3)), np.zeros((1, 2, 2)))
  with pytest.raises(errors.UserError, match="negative, infinite or NaN"):
    _filled([9]).prioritize(np.zeros(1), np.array([np.nan]))
  with pytest.raises(errors.UserError, match=r"'stoch' are \[1, 3\] instead"):
    _filled([9]).update_latents(np.zeros(1), np.zeros((1, 3)), np.zeros((1, 3)))


def _without(facts, key):
  return {name: value for name, value in facts.items() if name != key}


@pytest.mark.parametrize(
  "damage",
  [
    lambda s: chunks.Chunked(s.chunks[:-1], s.facts),
    lambda s: chunks.Chunked(s.chunks[::-1], s.facts),
    lambda s: chunks.Chunked(s.chunks, _without(s.facts, "order")),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "order": [0]}),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "streams": []}),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "chunk_size": 1024}),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "queue": [[7, 0]]}),
    lambda s: chunks.Chunked(s.chunks, {**s.facts, "random": "1"}),
    lambda s: chunks.Chunked(s.chunks, {"steps": 3}),
    lambda s: chunks.Chunked((), None),
  ],
)
def test_a_state_of_something_else_is_refused_and_changes_nothing(damage):
  state = _filled([20, 5]).state()
  buffer = _filled([9])
  with pytest.raises(errors.UserError):
    buffer.load_state(damage(state))
  assert buffer.steps == 9
  buffer.sample(1)


def test_a_smaller_capacity_takes_effect_when_loading():
  buffer = _filled([60])
  smaller = _buffer(capacity=24)
  smaller.load_state(buffer.state())
  assert smaller.steps == 20
  assert smaller.sample(50)["place"][:, :, 1].min() == 40


def test_ratio_is_exact_over_any_steps():
  updates = ratio.Ratio(0.1, 3)
  assert updates(7) == 1
  total = sum(updates(7 + step) for step in range(1, 30_001))
  assert total == 1000
  assert ratio.Ratio(fractions.Fraction(1, 3))(0) == 1
  assert [ratio.Ratio(0)(step) for step in range(3)] == [0, 0, 0]


@hypothesis.given(
  strategies.lists(strategies.integers(0, 9), max_size=20),
  strategies.fractions(0, 5, max_denominator=30),
  strategies.integers(0, 20),
)
@hypothesis.settings(deadline=None)
def test_ratio_goes_on_after_a_kill(increments, value, killed):
  whole, part, step = ratio.Ratio(value), ratio.Ratio(value), 3
  for index, increment in enumerate(increments):
    step += increment
    if index == killed:
      state = json.loads(json.dumps(part.state()))
      part = ratio.Ratio(value)
      part.load_state(state)
    assert whole(step) == part(step)


def test_a_changed_ratio_counts_from_the_step_reached():
  before, after = ratio.Ratio(1), ratio.Ratio(2)
  assert before(0) + before(1000) == 1001
  after.load_state(before.state())
  assert after(1000) == 0
  assert after(1003) == 6
  with pytest.raises(errors.UserError, match="not possible"):
    ratio.Ratio(-1)
