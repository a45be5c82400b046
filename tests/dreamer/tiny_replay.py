"""Small replay buffers, and steps that say where they come from."""

import ml_dtypes
import numpy as np

from dreamer import replay

LENGTH, CHUNK = 5, 8


def step_of(stream, position, episode=7, latents=True):
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


def buffer_of(**settings):
  known = {"length": LENGTH, "chunk_size": CHUNK, "capacity": 64}
  return replay.Replay(**{**known, "online": False, **settings})


def filled(counts, latents=True, **settings):
  buffer = buffer_of(**settings)
  for position in range(max(counts)):
    for stream, count in enumerate(counts):
      if position < count:
        buffer.add(stream, step_of(stream, position, latents=latents))
  return buffer


def starts_of(batch):
  return [(int(s), int(p)) for s, p in batch["place"][:, 0]]


def assert_equal(first, second):
  assert first.keys() == second.keys()
  for key, array in first.items():
    assert array.dtype == second[key].dtype
    np.testing.assert_array_equal(array, second[key])


def all_fractions():
  return {"uniform": 0.4, "priority": 0.3, "recency": 0.3}
