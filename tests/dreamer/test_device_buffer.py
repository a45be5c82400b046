"""Rings of device memory through a checkpoint: what comes back, what is new."""

import jax.numpy as jnp
import numpy as np
import pytest

from carnet import checkpoint, errors
from carnet.checkpoint import chunks
from dreamer import device_buffer

CAPACITY, CHUNK = 10, 4


def _step(position):
  value = 10 * position + np.arange(2)
  return {
    "place": np.stack([value, value], 1).astype(np.float32),
    "image": np.full((2, 3, 3, 1), position % 251, np.uint8),
    "deter": np.full((2, 3), position, np.float32),
    "stoch": np.full((2, 2, 2), position % 251, np.uint8),
  }


def _buffer(capacity=CAPACITY, chunk_size=CHUNK, step=None):
  return device_buffer.DeviceBuffer(capacity, chunk_size, step or _step(0))


def _filled(count, **options):
  buffer = _buffer(**options)
  for position in range(count):
    buffer.add(_step(position))
  return buffer


def _assert_equal(first, second):
  assert first.steps == second.steps
  assert int(first.replay.size) == int(second.replay.size)
  assert int(first.replay.position) == int(second.replay.position)
  for name, ring in first.replay.steps.items():
    np.testing.assert_array_equal(ring, second.replay.steps[name], name)
    assert ring.dtype == second.replay.steps[name].dtype


@pytest.mark.parametrize("count", [0, 1, 4, 7, 10, 13, 27])
def test_a_round_trip_and_more_steps(tmp_path, count):
  buffer, loaded = _filled(count), _buffer()
  with checkpoint.Checkpoint(tmp_path, verbose=False) as saved:
    saved.register("replay", buffer)
    saved.save(1)
  with checkpoint.Checkpoint(tmp_path, verbose=False) as saved:
    saved.register("replay", loaded)
    assert saved.load_or_save() == 1
  _assert_equal(loaded, buffer)
  for position in range(count, count + 5):
    buffer.add(_step(position))
    loaded.add(_step(position))
  _assert_equal(loaded, buffer)


def test_a_save_writes_the_blocks_that_changed(tmp_path):
  buffer = _filled(8)

  def files():
    return {path.name for path in tmp_path.glob("chunks/*/*.safetensors")}

  with checkpoint.Checkpoint(tmp_path, verbose=False) as saved:
    saved.register("replay", buffer)

    def new_files(step):
      before = files()
      saved.save(step)
      saved.wait()
      return len(files() - before)

    assert new_files(1) == 4  # two blocks, each with its latents apart
    assert new_files(2) == 0
    steps = dict(buffer.replay.steps)
    steps["deter"] = steps["deter"].at[5].set(jnp.float32(99))
    buffer.replay = buffer.replay.replace(steps=steps)
    assert new_files(3) == 1  # the latents of the second block
    buffer.add(_step(8))
    assert new_files(4) == 2
    for position in range(9, 11):  # around: over the first step
      buffer.add(_step(position))
    assert new_files(5) == 4  # the first and the last block


def test_looking_needs_a_whole_sequence_and_changes_nothing():
  buffer = _filled(4)
  assert buffer.look(3, 5, seed=0) is None
  found = buffer.look(3, 4, seed=0)
  assert found["image"].shape == (3, 4, 3, 3, 1)
  np.testing.assert_array_equal(
    found["place"][:, :, 0] - found["place"][:, :1, 0], [[0, 10, 20, 30]] * 3
  )
  again = buffer.look(3, 4, seed=0)
  np.testing.assert_array_equal(found["place"], again["place"])
  _assert_equal(buffer, _filled(4))


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"capacity": 11}, "stored with a capacity of 10 steps an environment"),
    ({"chunk_size": 5}, "stored with a chunk_size of 4 steps"),
  ],
)
def test_another_size_is_refused(options, message):
  with pytest.raises(errors.UserError, match=message):
    _buffer(**options).load_state(_filled(7).state())


def _other_step(**changes):
  return _buffer(step={**_step(0), **changes})


@pytest.mark.parametrize(
  "stored",
  [
    chunks.Chunked([], None),
    chunks.Chunked([], {"version": 1}),
    lambda good: chunks.Chunked(good.chunks[:1], good.facts),
    lambda good: chunks.Chunked(good.chunks[:2], good.facts),
    lambda good: chunks.Chunked(good.chunks, {**good.facts, "version": 2}),
    lambda good: chunks.Chunked(good.chunks, {**good.facts, "steps": 8}),
    lambda good: chunks.Chunked(good.chunks, {**good.facts, "steps": None}),
    lambda good: chunks.Chunked(good.chunks, {**good.facts, "position": 3}),
    lambda good: chunks.Chunked(good.chunks, {**good.facts, "position": -1}),
    lambda good: chunks.Chunked(good.chunks[::-1], good.facts),
  ],
)
def test_garbage_is_refused_and_changes_nothing(stored):
  state = (
    stored if isinstance(stored, chunks.Chunked) else stored(_filled(7).state())
  )
  buffer = _filled(3)
  with pytest.raises(errors.UserError, match="not the state of a replay in"):
    buffer.load_state(state)
  _assert_equal(buffer, _filled(3))


@pytest.mark.parametrize(
  "changes",
  [
    {"place": np.zeros((2, 3), np.float32)},
    {"place": np.zeros((2, 2), np.int32)},
    {"more": np.zeros(2, np.float32)},
  ],
)
def test_steps_of_another_kind_are_refused(changes):
  with pytest.raises(errors.UserError, match=next(iter(changes))):
    _other_step(**changes).load_state(_filled(7).state())
