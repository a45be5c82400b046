"""AdamW, clipping, groups and schedule, by hand."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_act

from act import optimizer
from carnet import errors


def factor(step: int, **options: object) -> float:
  config = tiny_act.config()
  config.total_steps = 110
  config.optimizer.update(**options)
  return float(optimizer.schedule(config, jnp.int32(step)))


def test_schedule_by_hand() -> None:
  assert factor(0) == 1.0
  assert factor(10**6) == 1.0
  warm = {"warmup_steps": 10}
  assert factor(0, **warm) == pytest.approx(0.1)
  assert factor(4, **warm) == pytest.approx(0.5)
  assert factor(9, **warm) == 1.0
  cosine = {"schedule": "cosine", "final_fraction": 0.2, **warm}
  assert factor(4, **cosine) == pytest.approx(0.5)
  assert factor(10, **cosine) == pytest.approx(1.0)
  assert factor(60, **cosine) == pytest.approx(0.2 + 0.8 * 0.5)
  third = 0.5 * (1.0 + math.cos(math.pi / 4.0))
  assert factor(35, **cosine) == pytest.approx(0.2 + 0.8 * third)
  assert factor(110, **cosine) == pytest.approx(0.2)
  assert factor(500, **cosine) == pytest.approx(0.2)


def test_unknown_schedule_is_named() -> None:
  config = tiny_act.config()
  config.optimizer.schedule = "cosin"
  with pytest.raises(errors.UserError, match="did you mean 'cosine'"):
    optimizer.check(config)


def test_two_groups_and_clipping_follow_adamw() -> None:
  """Three steps against AdamW written out in float64, as torch defines it."""
  config = tiny_act.config()
  config.optimizer.update(
    learning_rate=0.1,
    backbone_learning_rate=0.01,
    weight_decay=0.05,
    clip_norm=1.0,
    epsilon=1e-8,
  )
  params = {"backbone": {"w": jnp.ones(2)}, "head": jnp.full(1, -2.0)}
  gradients = {"backbone": {"w": jnp.float32([3.0, 0.0])}, "head": jnp.ones(1)}
  values = {"w": np.ones(2), "head": np.full(1, -2.0)}
  norm = math.sqrt(3.0**2 + 1.0)
  clipped = {
    "w": np.array([3.0, 0.0]) / (norm + 1e-6),
    "head": np.ones(1) / (norm + 1e-6),
  }
  rates = {"w": 0.01, "head": 0.1}
  state = optimizer.init(config, params)
  for step in range(3):
    params, state, metrics = optimizer.update(
      config, jnp.int32(step), gradients, state, params
    )
    for name, gradient in clipped.items():
      # equal gradients: both moments, corrected, are g and g^2
      adam = gradient / (np.abs(gradient) + 1e-8)
      values[name] = values[name] * (1 - rates[name] * 0.05)
      values[name] -= rates[name] * adam
  np.testing.assert_allclose(params["backbone"]["w"], values["w"], rtol=1e-5)
  np.testing.assert_allclose(params["head"], values["head"], rtol=1e-5)
  assert float(metrics["gradient_norm"]) == pytest.approx(norm)
  assert float(metrics["learning_rate"]) == pytest.approx(0.1)


def test_small_gradients_are_not_clipped() -> None:
  """Without clipping, epsilon shows: g / (g + epsilon) = 1/2 at g = epsilon."""
  config = tiny_act.config()
  config.optimizer.update(
    learning_rate=1.0, weight_decay=0.0, epsilon=0.25, clip_norm=10.0
  )
  params = {"head": jnp.zeros(1)}
  state = optimizer.init(config, params)
  params, _, _ = optimizer.update(
    config, jnp.int32(0), {"head": jnp.full(1, 0.25)}, state, params
  )
  np.testing.assert_allclose(params["head"], [-0.5], rtol=1e-5)
