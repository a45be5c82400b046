"""What a chunk takes, and what it would not give back."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import chunks


@pytest.mark.parametrize("name", ["", "__metadata__", "a\ud800"])
def test_names_that_no_file_can_hold_are_refused(name):
  with pytest.raises(errors.UserError, match="cannot name an array"):
    checkpoint_lib.Chunk({name: np.zeros(2)})


@pytest.mark.parametrize("name", [3, None, b"x"])
def test_names_are_text(name):
  with pytest.raises(errors.UserError, match="cannot name an array"):
    chunks._check_name(name)  # the tests' type checks come before a Chunk's


@pytest.mark.parametrize("name", ["x", "é", "a/b", "metadata", " ", "\0"])
def test_other_names_come_back(tmp_path, name):
  row = chunks.put(tmp_path, checkpoint_lib.Chunk({name: np.ones(2)}), "replay")
  assert list(chunks.load(tmp_path, row).arrays) == [name]


@pytest.mark.parametrize("value", [[1, 2], (1, 2), 3, "text", None])
def test_what_is_no_array_is_refused(value):
  with pytest.raises(errors.UserError, match=r"'x'.* with np\.asarray"):
    checkpoint_lib.Chunk({"x": value})


def test_masks_and_random_keys_are_refused():
  for value in (np.ma.zeros(2), jax.random.key(0)):
    with pytest.raises(errors.UserError, match="array 'x' of a chunk is of"):
      checkpoint_lib.Chunk({"x": value})


def test_arrays_of_jax_and_mapped_files_are_copied(tmp_path):
  mapped = np.memmap(tmp_path / "array", np.int16, "w+", shape=(3,))
  mapped[:] = [1, 2, 3]
  given = {
    "jax": jnp.arange(3, dtype=jnp.bfloat16),
    "mapped": mapped,
    "number": np.float32(2.5),
  }
  chunk = checkpoint_lib.Chunk(given)
  row = chunks.put(tmp_path, chunk, "replay")
  mapped[:] = 0
  given["jax"].delete()
  loaded = chunks.load(tmp_path, row).arrays
  for arrays in (chunk.arrays, loaded):
    assert [type(array) for array in arrays.values()] == [np.ndarray] * 3
    assert arrays["jax"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(arrays["jax"].astype(int), [0, 1, 2])
    np.testing.assert_array_equal(arrays["mapped"], [1, 2, 3])
    assert arrays["number"] == np.float32(2.5)
