"""Temporal ensembling against the average written as a plain loop."""

import jax.numpy as jnp
import numpy as np
import pytest

from act import ensembling


def plain(chunks: np.ndarray, coefficient: float) -> np.ndarray:
  """Averages, at each step, every past prediction of that step's action."""
  steps, _, size, _ = chunks.shape
  actions = []
  for step in range(steps):
    past = range(max(0, step - size + 1), step + 1)  # the oldest first
    predictions = np.stack([chunks[i][:, step - i] for i in past])
    weights = np.exp(-coefficient * np.arange(len(predictions)))
    actions.append(np.tensordot(weights / weights.sum(), predictions, 1))
  return np.stack(actions)


@pytest.mark.parametrize("coefficient", [0.01, 0.0, -0.1, 1.0])
@pytest.mark.parametrize("chunk_size", [1, 4])
def test_equals_the_plain_loop(coefficient: float, chunk_size: int) -> None:
  chunks = np.random.default_rng(0).normal(size=(11, 2, chunk_size, 3))
  chunks = chunks.astype(np.float32)
  state = ensembling.init(2, chunk_size, 3)
  actions = []
  for chunk in chunks:
    state, action = ensembling.update(state, chunk, coefficient)
    actions.append(action)
  expected = plain(chunks, coefficient)
  np.testing.assert_allclose(np.stack(actions), expected, rtol=2e-5, atol=1e-6)


def test_two_predictions_by_hand() -> None:
  """Weights 1 (old) and e^-1 (new) of predictions 3 and 7."""
  state = ensembling.init(1, 2, 1)
  state, first = ensembling.update(state, np.float32([[[9.0], [3.0]]]), 1.0)
  state, second = ensembling.update(state, np.float32([[[7.0], [0.0]]]), 1.0)
  new = np.exp(-1.0)
  np.testing.assert_allclose(first, [[9.0]])
  np.testing.assert_allclose(second, [[(3.0 + 7.0 * new) / (1.0 + new)]])


def test_equal_predictions_stay_as_they_are() -> None:
  state = ensembling.init(3, 5, 2)
  chunk = jnp.full((3, 5, 2), 0.25)
  for _ in range(7):
    state, action = ensembling.update(state, chunk, 0.01)
    np.testing.assert_allclose(action, 0.25, rtol=1e-6)
