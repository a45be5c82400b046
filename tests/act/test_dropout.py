"""Dropout: its rate, its scale, and that no two masks are alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from act import dropout


def masks(rate: float, count: int, seed: int = 0) -> np.ndarray:
  drop = dropout.Dropout(rate, jax.random.key(seed))
  return np.stack([drop(jnp.ones((64, 256))) for _ in range(count)])


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_rate_and_scale(rate: float) -> None:
  values = masks(rate, 16)
  kept = 1.0 / (1.0 - rate)
  assert set(np.unique(values)) == {0.0, np.float32(kept)}
  count = values.size
  deviation = (rate * (1 - rate) / count) ** 0.5
  assert abs(np.mean(values == 0.0) - rate) < 4 * deviation


def test_masks_are_independent() -> None:
  """Between calls, seeds, rows and columns correlations are noise."""
  dropped = masks(0.5, 8) == 0.0
  flat = dropped.reshape(8, -1).astype(np.float64)
  others = (masks(0.5, 8, seed=1) == 0.0).reshape(8, -1).astype(np.float64)
  correlation = np.corrcoef(np.concatenate([flat, others]))
  off_diagonal = correlation[~np.eye(16, dtype=bool)]
  assert np.abs(off_diagonal).max() < 5 / flat.shape[1] ** 0.5
  for axis in (1, 2):
    neighbours = np.mean(dropped == np.roll(dropped, 1, axis))
    assert abs(neighbours - 0.5) < 0.01


def test_same_key_same_masks() -> None:
  np.testing.assert_array_equal(masks(0.3, 2), masks(0.3, 2))


def test_one_sample_is_dropped_apart_for_each_of_a_batch() -> None:
  drop = dropout.Dropout(0.5, jax.random.key(0))
  values = drop(jnp.arange(1.0, 101.0)[None], batch=3)
  assert values.shape == (3, 100)
  assert not np.array_equal(values[0], values[1])
  kept = np.asarray(values) > 0.0
  expected = np.broadcast_to(2.0 * np.arange(1.0, 101.0), (3, 100))
  np.testing.assert_array_equal(np.asarray(values)[kept], expected[kept])


def test_without_dropout_nothing_changes() -> None:
  x = jnp.ones((1, 3))
  assert dropout.maybe(None, x, batch=4) is x
