"""The generator of random numbers: moments, bounds, independence."""

import jax
import numpy as np

from act import noise


def test_uniform_fills_its_interval() -> None:
  values = np.asarray(noise.Noise(jax.random.key(0)).uniform((200_000,), 0.5))
  assert -0.5 < values.min() < -0.4999
  assert 0.4999 < values.max() < 0.5
  counts, _ = np.histogram(values, 100, (-0.5, 0.5))
  chi_square = np.sum((counts - 2000.0) ** 2 / 2000.0)
  assert chi_square < 99 + 5 * (2 * 99) ** 0.5


def test_normal_has_the_moments_of_a_normal() -> None:
  values = np.asarray(noise.Noise(jax.random.key(1)).normal((200_000,), 3.0))
  scaled = values.astype(np.float64) / 3.0
  moments = [np.mean(scaled**k) for k in range(1, 5)]
  np.testing.assert_allclose(moments, [0.0, 1.0, 0.0, 3.0], atol=0.04)
  assert np.isfinite(values).all()


def test_calls_and_keys_differ_and_repeat() -> None:
  one, same = (noise.Noise(jax.random.key(2)) for _ in range(2))
  other = noise.Noise(jax.random.key(3))
  draws = [one.bits((64,)), one.bits((64,)), other.bits((64,))]
  words = [set(np.asarray(draw).tolist()) for draw in draws]
  assert len(set.union(*words)) == 3 * 64
  np.testing.assert_array_equal(draws[0], same.bits((64,)))
  np.testing.assert_array_equal(draws[1], same.bits((64,)))


def test_every_bit_is_fair() -> None:
  words = np.asarray(noise.Noise(jax.random.key(4)).bits((100_000,)))
  ones = [np.mean((words >> bit) & 1) for bit in range(32)]
  np.testing.assert_allclose(ones, 0.5, atol=5 * 0.5 / 100_000**0.5)
