"""From a configuration to environments, and to spaces that a file keeps."""

import json

import numpy as np
import pytest
import tiny_loop

from carnet import config as config_lib
from carnet import errors
from carnet.envs import base, catch
from dreamer import environment, learner, spaces


class Shown:
  """Only spaces."""

  def __init__(self, observations, actions):
    self.observation_space, self.action_space = observations, actions
    self.control_hz, self.success_reward = 10.0, None

  def reset(self, seed, observe=True): ...

  def step(self, action, observe=True): ...

  def observe(self): ...

  def render(self, camera): ...

  def close(self): ...


SEEN = {
  "image": base.Space((8, 8, 3), "uint8", 0.0, 255.0),
  "place": base.Space((2, 2), "float32"),
  "gear": base.Space((), "int32", classes=4),
}
DONE = {"push": base.Space((2,), "float32", -1.0, 1.0)}


def test_spaces_as_the_agent_knows_them():
  spec = environment.spec_of(Shown(SEEN, DONE))
  assert spec.observations == {
    "image": spaces.Space((8, 8, 3), is_image=True),
    "place": spaces.Space((2, 2)),
    "gear": spaces.Space((), 4),
  }
  assert spec.actions == {"push": spaces.Space((2,))}
  bare = environment.spec_of(Shown(SEEN, DONE["push"]))
  assert bare.actions == {"action": spaces.Space((2,))}
  of_module = environment.spec_of(catch)
  assert of_module.actions == {"action": spaces.Space((), 3)}


@pytest.mark.parametrize(
  "space",
  [
    base.Space((4,), "uint8"),
    base.Space((4,), "int32"),
    base.Space((2,), "bool"),
  ],
)
def test_a_space_for_which_there_is_no_network(space):
  with pytest.raises(errors.UserError, match=r"'odd' is .*classes.*or uint8"):
    environment.spec_of(Shown({**SEEN, "odd": space}, DONE))


def test_spaces_survive_a_file():
  spec = environment.spec_of(Shown(SEEN, DONE))
  written = json.loads(json.dumps(environment.to_json(spec)))
  assert environment.from_json(written) == spec


def test_every_key_that_came_went_or_changed_is_named():
  before = environment.spec_of(Shown(SEEN, DONE))
  now = learner.Spec(
    {
      "image": spaces.Space((8, 8, 3), is_image=True),
      "place": spaces.Space((3,)),
      "sound": spaces.Space((5,)),
    },
    {"push": spaces.Space((), 3)},
  )
  environment.check_same(before, before, "here")
  with pytest.raises(errors.UserError) as caught:
    environment.check_same(before, now, "runs/old")
  assert str(caught.value) == (
    "the environment is not that of runs/old: "
    "observation 'gear' was 4 () and is absent; "
    "observation 'place' was float (2, 2) and is float (3,); "
    "observation 'sound' was absent and is float (5,); "
    "action 'push' was float (2,) and is 3 ()"
  )


def _described(task, **changes):
  config = tiny_loop.cartpole().environment
  config.update(name=task, **changes)
  return config_lib.to_json(config)


def test_a_repeated_action_adds_up_its_rewards():
  once = environment.make(_described("dmc/cup_catch"))
  twice = environment.make(_described("dmc/cup_catch", repeat=2))
  once.reset(3)
  twice.reset(3)
  assert twice.control_hz == once.control_hz / 2
  rng, rewards = np.random.default_rng(0), 0.0
  for _ in range(40):
    action = rng.uniform(-1, 1, 2).astype(np.float32)
    first, second = once.step(action), once.step(action)
    both = twice.step(action)
    assert both.reward == first.reward + second.reward
    rewards += both.reward
    for name, value in second.observation.items():
      np.testing.assert_array_equal(both.observation[name], value)


def test_actions_span_one_and_options_are_those_of_the_suite():
  env = environment.make(_described("gym:Pendulum-v1"))
  assert (env.action_space.low, env.action_space.high) == (-1.0, 1.0)
  described = _described("gym:Pendulum-v1")
  described["gym"]["max_steps"] = 3
  env = environment.make(described)
  env.reset(0)
  ends = [env.step(np.zeros(1, np.float32)).is_last for _ in range(3)]
  assert ends == [False, False, True]


@pytest.mark.parametrize(
  ("task", "repeat", "frames"),
  [("dmc/walker_walk", 2, 2), ("atari/pong", 1, 4), ("gym:CartPole-v1", 1, 1)],
)
def test_frames_of_a_step(task, repeat, frames):
  config = tiny_loop.cartpole()
  config.environment.update(name=task, repeat=repeat)
  assert environment.frames_per_step(config) == frames
