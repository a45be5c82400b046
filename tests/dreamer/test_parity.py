"""Part C of the original's numbers: updates of a whole agent.

Every update starts from the recorded state before it and takes the recorded
draws.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import official
import pytest
import updates

from dreamer import learner

pytestmark = pytest.mark.parity

UPDATES = official.cases("C_agent_*/update[0-9]_inputs.npz")


@pytest.mark.parametrize("path", UPDATES)
def test_context_rule(path: str) -> None:
  inputs = official.arrays(path)
  theirs = official.below(inputs, "loss_in/")
  batch = updates.read_batch(updates.case(path.split("/")[0]), inputs)
  for name, value in official.below(theirs, "obs/").items():
    official.equal(batch[name], value)
  for name, value in official.below(theirs, "prevact/").items():
    official.equal(batch["previous_action"][name], value)
  official.equal(batch["start"].deter, theirs["carry/deter"])
  official.equal(batch["start"].stoch, theirs["carry/stoch"])


@pytest.mark.parametrize("path", UPDATES)
def test_losses(path: str) -> None:
  update = updates.update_of(path)
  theirs = update.theirs(path, "losses")
  recorded = official.below(theirs, "losses/")
  official.same_values(update.known["losses"], recorded)
  official.close(update.known["metrics"]["opt/loss"], theirs["total"])


@pytest.mark.parametrize("path", UPDATES)
def test_metrics(path: str) -> None:
  update = updates.update_of(path)
  updates.same_metrics(
    update.known, update.before, update.after, update.theirs(path, "losses")
  )


@pytest.mark.parametrize("path", UPDATES)
def test_gradients(path: str) -> None:
  update = updates.update_of(path)
  theirs = update.theirs(path, "grads")
  official.same_gradients(update.known["gradients"], theirs)


@pytest.mark.parametrize("path", UPDATES)
def test_state_after(path: str) -> None:
  update = updates.update_of(path)
  one, theirs = update.one, update.theirs(path, "state")
  expected = updates.read_state(one, theirs)
  limit = official.MOVED * one.config.optimizer.lr
  same = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=limit)
  jax.tree.map(same, update.after.params, expected.params)
  jax.tree.map(same, update.after.slow_critic, expected.slow_critic)
  jax.tree.map(official.close, update.after.return_range, expected.return_range)
  official.equal(update.after.step, expected.step)
  ours, recorded = update.after.optimizer, expected.optimizer
  for index, name in ((1, "nu"), (2, "mu")):
    official.equal(ours[index].updates, recorded[index].updates)
    jax.tree.map(
      official.close_gradient,
      getattr(ours[index], name),
      getattr(recorded[index], name),
    )
  official.equal(ours[-1].count, recorded[-1].count)


@pytest.mark.parametrize("path", UPDATES)
def test_latents_to_write_back(path: str) -> None:
  update, theirs = updates.update_of(path), official.arrays(path)
  theirs = update.theirs(path, "losses")
  latent = update.known["latent"]
  official.close(latent.deter, theirs["replay_out/dyn/deter"])
  official.close(np.round(latent.stoch), theirs["replay_out/dyn/stoch"])
  official.close(latent.deter[:, -1], theirs["next_carry/dyn/deter"])
  official.close(np.round(latent.stoch[:, -1]), theirs["next_carry/dyn/stoch"])


@pytest.mark.parametrize("path", UPDATES)
def test_intermediates(path: str) -> None:
  update = updates.update_of(path)
  inputs = (
    updates.read_batch(update.one, update.inputs),
    updates.read_draws(update.inputs),
  )
  run = jax.jit(functools.partial(updates.intermediates, update.one))
  ours = run(update.before, *inputs)
  theirs = official.below(update.theirs(path, "losses"), "mid/")
  shared = set(ours) & set(theirs)
  assert len(shared) >= 20
  # what our functions do not hand out
  assert not {k for k in set(theirs) - shared if not k.startswith("repl/")}
  for name in shared:
    official.close(ours[name], theirs[name], name=name)


@pytest.mark.parametrize(
  "path", official.cases("C_agent_*/update[0-9]_grads_per_loss.npz")
)
def test_gradients_of_each_loss(path: str) -> None:
  theirs = official.arrays(path)
  name = path.replace("grads_per_loss", "inputs")
  update = updates.update_of(name)
  batch, draws = (
    updates.read_batch(update.one, update.inputs),
    updates.read_draws(update.inputs),
  )

  @jax.jit
  def differentiate(before: learner.TrainState) -> Any:
    def means(params: Any) -> Any:
      _, known = learner.loss(
        update.one.config,
        update.one.spec,
        update.one.graph,
        params,
        before.slow_critic,
        before.return_range,
        batch,
        draws,
        updates.recorded,
      )
      return jax.tree.map(jnp.mean, known["losses"])

    return jax.jacrev(means)(before.params)

  for loss, slopes in differentiate(update.before).items():
    expected = official.below(theirs, f"{loss}/")
    for key, value in official.flat(slopes).items():
      if key in expected:
        official.close_gradient(value, expected[key], f"{loss}/{key}")
      else:
        assert not np.any(value), f"{loss}/{key}"
