"""Random generators in LeRobot's `rng_state.safetensors`.

JAX has no state that torch could go on with, so a resumed run draws from
generators that are freshly seeded, as LeRobot's own `set_seed` does.
"""

import pathlib
import random
import struct

import numpy as np
import safetensors.numpy

NAME = "rng_state.safetensors"

# torch's CPUGeneratorImplState: seed, words left, seeded, next; 624 words in
# 64 bits each; then the cached normals, of which there are none
_HEAD = struct.Struct("<QiiQ")
_NO_NORMALS = bytes(40)


def write(directory: pathlib.Path, seed: int) -> None:
  """Writes the states of Python, numpy and torch after seeding with `seed`."""
  version, python, _ = random.Random(seed).getstate()
  # both seed their Mersenne Twister with 32 bits, by Knuth's recurrence
  state = np.random.RandomState(seed % 2**32).get_state(legacy=False)
  words = np.asarray(state["state"]["key"])
  tensors: dict[str, np.ndarray] = {
    "py_rng_version": np.array([version], np.int64),
    "py_rng_state": np.array(python, np.int64),
    "np_rng_state_values": words.astype(np.int64),
    "np_rng_state_index": np.array([len(words)], np.int64),
    "np_rng_has_gauss": np.zeros(1, np.int64),
    "np_rng_cached_gaussian": np.zeros(1, np.float32),
    "torch_rng_state": _torch_state(seed, words),
  }
  safetensors.numpy.save_file(tensors, directory / NAME)


def _torch_state(seed: int, words: np.ndarray) -> np.ndarray:
  head = _HEAD.pack(seed % 2**64, 1, 1, 0)
  content = head + words.astype("<u8").tobytes() + _NO_NORMALS
  return np.frombuffer(content, np.uint8)
