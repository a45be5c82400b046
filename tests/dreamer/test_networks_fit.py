"""What an environment shows must fit the networks, or is refused by name."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_loop

from carnet import errors
from carnet.envs import base, catch, jax_env
from dreamer import (
  config_check,
  device_replay,
  environment,
  learner,
  spaces,
)

ACTIONS = {"action": spaces.Space((), 2)}


def _named(name):
  """Returns Catch with an observation of another name."""
  functions = types.SimpleNamespace(
    observation_space={name: base.Space((1,), "float32")},
    action_space=catch.action_space,
    reset=catch.reset,
    step=catch.step,
  )
  assert isinstance(functions, jax_env.Functional)
  return functions


def _image(height, width=None):
  return spaces.Space((height, width or height, 3), is_image=True)


@pytest.mark.parametrize(
  ("observations", "message"),
  [
    ({"image": _image(50)}, "a multiple of 16"),
    ({"a": _image(32), "b": _image(64)}, "one size for all"),
    ({"x": spaces.Space((0,))}, "shows or takes nothing"),
    ({}, "shows or takes nothing"),
  ],
)
def test_observations_that_do_not_fit(observations, message):
  spec = learner.Spec(observations, ACTIONS)
  with pytest.raises(errors.UserError, match=message):
    config_check.check_spaces(tiny_loop.cartpole(), spec)


def test_blocks_of_the_decoder_must_divide():
  config = tiny_loop.cartpole()
  spec = learner.Spec({"image": _image(32)}, ACTIONS)
  config_check.check_spaces(config, spec)
  config.decoder.bspace = 3
  with pytest.raises(errors.UserError, match="bspace=3"):
    config_check.check_spaces(config, spec)


@pytest.mark.parametrize("name", ["reward", "is_first", "deter", "action/x"])
def test_names_of_the_replay_are_refused(name):
  named = _named(name)
  with pytest.raises(errors.UserError, match=f"'{name}', which the replay"):
    environment.spec_of(named)


def test_nested_keys_name_no_nested_parameters():
  config = tiny_loop.cartpole()
  spec = learner.Spec({"a/b": spaces.Space((3,))}, {"w/0": spaces.Space((), 2)})
  _, params = learner.make_agent(config, spec)
  assert "a.b" in params["decoder"]["vec"]
  assert "w.0" in params["actor"]["head"]


def test_an_episode_that_was_broken_off_is_marked_as_on_the_host():
  first = np.zeros((2, 4), bool)
  first[0, 2] = True
  found = {
    "is_first": jnp.asarray(first),
    "is_last": jnp.zeros((2, 4), bool),
    "reward": jnp.zeros((2, 4)),
  }
  marked = device_replay.marked(found)
  np.testing.assert_array_equal(
    marked["is_last"], [[False, True, False, False], [False] * 4]
  )
  np.testing.assert_array_equal(
    marked["is_first"],
    [[True, False, True, False], [True, False, False, False]],
  )
