"""The training step: its loss by hand, its randomness, its golden numbers."""

import functools
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_act

from act import learner, model

GOLDEN = pathlib.Path(__file__).parent / "golden_train_step.json"


def step_of(config: Any) -> Any:
  return jax.jit(
    functools.partial(
      learner.train_step, config, tiny_act.FEATURES, tiny_act.STATISTICS
    )
  )


@functools.cache
def quick() -> tuple[Any, Any]:
  """Returns a configuration with every source of randomness, and its step."""
  config = tiny_act.config()
  config.augmentation.max_transforms = 1
  return config, step_of(config)


def output(actions: Any, mu: Any = None, log_sigma_x2: Any = None) -> Any:
  return model.Output(jnp.asarray(actions), mu, log_sigma_x2)


BATCH = {
  "actions": jnp.zeros((2, 2, 2)),
  "is_pad": jnp.array([[False, True], [False, False]]),
}
# absolute errors 1 + 2 valid, 8 + 9 padded, 3 + 4 + 5 + 6 valid
ACTIONS = jnp.array([[[1.0, -2.0], [8.0, 9.0]], [[3.0, 4.0], [-5.0, 6.0]]])


@pytest.mark.parametrize(
  ("reduction", "expected"), [("valid", 21.0 / 6.0), ("all", 21.0 / 8.0)]
)
def test_l1_by_hand(reduction: str, expected: float) -> None:
  config = tiny_act.config()
  config.loss.reduction = reduction
  total, parts = learner.loss(config, output(ACTIONS), BATCH)
  assert float(total) == pytest.approx(expected)
  assert set(parts) == {"loss", "l1"}


def test_padding_alone_costs_nothing() -> None:
  config = tiny_act.config()
  batch = {**BATCH, "is_pad": jnp.ones((2, 2), bool)}
  assert float(learner.l1_loss(config, ACTIONS, batch)) == 0.0


def test_kl_by_hand() -> None:
  """1/2 (mu^2 + s^2 - 1 - log s^2) per entry: sums over Z, means over B."""
  config = tiny_act.config()
  config.loss.kl_weight = 3.0
  mu = jnp.array([[2.0, 0.0], [0.0, 0.0]])
  log_sigma_x2 = jnp.array([[0.0, 0.0], [np.log(4.0), 0.0]], jnp.float32)
  kld = 0.5 * (2.0 + 0.5 * (4.0 - 1.0 - np.log(4.0)))
  zeros = output(jnp.zeros((2, 2, 2)), mu, log_sigma_x2)
  total, parts = learner.loss(config, zeros, BATCH)
  assert float(parts["kld"]) == pytest.approx(kld)
  assert float(total) == pytest.approx(3.0 * kld)


def test_a_step_repeats_exactly() -> None:
  config, step = quick()
  state = learner.init_state(config, tiny_act.FEATURES)
  batch = tiny_act.raw_batch()
  first, metrics = step(state, batch)
  second, again = step(state, batch)
  jax.tree.map(np.testing.assert_array_equal, first, second)
  assert {name: float(value) for name, value in metrics.items()} == {
    name: float(value) for name, value in again.items()
  }
  assert int(first.step) == 1


def test_steps_and_seeds_draw_other_numbers() -> None:
  """Same parameters and batch: the loss differs by what is drawn."""
  config, step = quick()
  state = learner.init_state(config, tiny_act.FEATURES)
  batch = tiny_act.raw_batch()
  losses = [
    float(step(state.replace(step=jnp.int32(i)), batch)[1]["loss"])
    for i in range(3)
  ]
  assert len(set(losses)) == 3


def test_seeds_start_elsewhere() -> None:
  config = tiny_act.config()
  one = learner.init_state(config, tiny_act.FEATURES)
  config.seed = 1
  other = learner.init_state(config, tiny_act.FEATURES)
  kernels = [s.params["action_head"]["kernel"] for s in (one, other)]
  assert not np.array_equal(*kernels)


def test_golden_step() -> None:
  """Two steps end where they ended when this file was written.

  A failure means that training computes something else than before. If that is
  intended, say so in the change, and write the printed line to
  tests/act/golden_train_step.json. If not, find out why first.
  """
  config, step = quick()
  state = learner.init_state(config, tiny_act.FEATURES)
  values = {}
  for i in range(2):
    state, metrics = step(state, tiny_act.raw_batch())
    values |= {f"{name}_{i}": float(v) for name, v in metrics.items()}
  squares = [jnp.sum(jnp.square(x)) for x in jax.tree.leaves(state.params)]
  values["parameter_norm"] = float(jnp.sqrt(sum(squares)))
  print(json.dumps(values))
  golden = json.loads(GOLDEN.read_text())
  assert values == pytest.approx(golden, rel=2e-4), test_golden_step.__doc__


def test_validation_and_prediction_agree() -> None:
  """Validation is the L1 of the prediction, in normalised units; z = 0."""
  config = tiny_act.config()
  state = learner.init_state(config, tiny_act.FEATURES)
  batch = tiny_act.raw_batch()
  facts = (config, tiny_act.FEATURES, tiny_act.STATISTICS)
  metrics = jax.jit(functools.partial(learner.validation_step, *facts))(
    state, batch
  )
  observation = {name: batch[name] for name in ("images", "state")}
  actions = jax.jit(functools.partial(learner.predict, *facts))(
    state.params, state.buffers, observation
  )
  valid = ~batch["is_pad"]
  error = np.abs(actions - batch["actions"])[valid] / 0.5  # the std
  assert set(metrics) == {"l1"}
  assert float(metrics["l1"]) == pytest.approx(error.mean(), rel=1e-5)


def test_it_learns_one_batch() -> None:
  config = tiny_act.config(dropout=0.0, use_vae=False)
  config.optimizer.learning_rate = 3e-3
  config.optimizer.backbone_learning_rate = 3e-3
  step = step_of(config)
  state = learner.init_state(config, tiny_act.FEATURES)
  batch = tiny_act.raw_batch()
  losses: list[float] = []
  for _ in range(300):
    state, metrics = step(state, batch)
    losses.append(float(metrics["l1"]))
  assert losses[0] > 1.0
  assert np.mean(losses[-20:]) < 0.3
