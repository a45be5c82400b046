"""Atari behind our protocol, against the emulator itself."""

import sys

import numpy as np
import pytest
from PIL import Image

from carnet import envs, errors
from carnet.envs import contract

ale_py = pytest.importorskip("ale_py")

NOOP, FIRE, RIGHT, LEFT = 0, 1, 3, 4
PLAIN = {"sticky": False, "noops": 0}


def emulator(game, seed, sticky):
  from ale_py import roms

  ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
  ale = ale_py.ALEInterface()
  ale.setInt("random_seed", seed)
  ale.setFloat("repeat_action_probability", sticky)
  ale.loadROM(roms.get_rom_path(game))
  return ale


def preprocess(frames):
  """The reference's `_obs`, with its defaults."""
  image = Image.fromarray(np.maximum(*frames))
  image = np.array(image.resize((96, 96), Image.Resampling.BILINEAR))
  weights = np.array([0.299, 0.587, 1 - (0.299 + 0.587)])
  return (image * weights).sum(-1).astype(np.uint8)[:, :, None]


def test_pictures_and_rewards_are_made_as_the_references():
  """Its defaults: no-ops, sticky actions, four frames, the last two seen."""
  env = envs.make("atari/asterix")
  assert env.control_hz == 15
  assert env.action_space.classes == 18  # all, though it uses 9
  assert env.observation_space["image"].shape == (96, 96, 1)
  step = env.reset(3)
  generator = np.random.default_rng(3)
  ale = emulator("asterix", int(generator.integers(2**31)), 0.25)
  for _ in range(generator.integers(31)):
    ale.act(0, 1.0)
  frames, rewards = [ale.getScreenRGB()] * 2, []
  for action in contract.random_actions(env, 150):
    np.testing.assert_array_equal(step.observation["image"], preprocess(frames))
    step, reward, frames = env.step(action), 0, []
    for _ in range(4):
      reward += ale.act(ale.getLegalActionSet()[action], 1.0)
      frames = [*frames, ale.getScreenRGB()][-2:]
    rewards.append(step.reward)
    assert step.reward == reward
    if step.is_last:  # which may be before the fourth frame
      break
  assert max(rewards) > 0


@pytest.mark.parametrize("game", ["pong", "james_bond"])
def test_obeys_the_protocol(game):
  env = envs.make(f"atari/{game}")
  actions = contract.random_actions(env, 20)
  contract.check(lambda: envs.make(f"atari/{game}"), actions)


def play(env, actions, seed=0):
  env.reset(seed, observe=False)
  for action in actions:
    env.step(action, observe=False)
  return env.observe()["image"]


def test_actions_act():
  env = envs.make("atari/pong", **PLAIN)
  pictures = [play(env, [action] * 30) for action in (NOOP, RIGHT, LEFT)]
  assert np.any(pictures[0] != pictures[1])
  assert np.any(pictures[1] != pictures[2])


def test_the_seed_draws_no_ops_and_sticky_actions():
  actions = np.random.default_rng(0).integers(18, size=60)

  def different(**options):
    env = envs.make("atari/pong", **options)
    return np.any(play(env, actions, 1) != play(env, actions, 2))

  assert not different(**PLAIN)
  assert different(sticky=True, noops=0)
  assert different(sticky=False, noops=30)


def episode(lives, steps=400, **options):
  """Fires, then leaves the ball alone: each of five lives is soon lost."""
  env = envs.make("atari/breakout", lives=lives, **PLAIN, **options)
  env.reset(0, observe=False)
  flags = []
  for index in range(steps):
    step = env.step(FIRE if index % 10 == 0 else NOOP, observe=False)
    flags.append((step.is_last, step.is_terminal))
    if step.is_last:
      break
  return flags


def test_lives_are_unused_or_terminal_or_the_end():
  unused, discount, reset = map(episode, ("unused", "discount", "reset"))
  assert unused[-1] == discount[-1] == reset[-1] == (True, True)
  assert set(unused[:-1]) == set(reset[:-1]) == {(False, False)}
  lost = [i for i, flags in enumerate(discount) if flags == (False, True)]
  assert len(lost) == 4
  assert len(reset) - 1 == lost[0]


def test_the_step_limit_is_last_but_not_terminal():
  flags = episode("unused", length=50)  # frames: the limit cuts a step short
  assert flags == [(False, False)] * 12 + [(True, False)]


def test_options_of_the_100k_protocol():
  env = envs.make(
    "atari/breakout", image_size=64, gray=False, actions="needed", sticky=False
  )
  step = env.reset(0)
  assert step.observation["image"].shape == (64, 64, 3)
  assert env.action_space.classes == 4
  assert np.any(step.observation["image"].std(-1) > 0)
  assert env.render("any").shape == (210, 160, 3)


def test_rewards_are_clipped_and_pictures_averaged():
  clipped = envs.make("atari/asterix", clip_reward=True, **PLAIN)
  raw = envs.make("atari/asterix", aggregate="mean", pooling=4, **PLAIN)
  clipped.reset(0)
  raw.reset(0)
  rewards, differ = [], False
  for action in contract.random_actions(raw, 200):
    one, other = clipped.step(action), raw.step(action)
    if one.is_last:
      break
    assert one.reward == np.sign(other.reward)
    rewards.append(other.reward)
    differ |= np.any(one.observation["image"] != other.observation["image"])
  assert max(rewards) > 1
  assert differ


def test_autostart_fires():
  still, started = (
    envs.make("atari/breakout", autostart=on, **PLAIN) for on in (False, True)
  )
  assert np.any(play(still, [NOOP] * 9) != play(started, [NOOP] * 9))


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("atari/pongg", {}, "did you mean 'atari/pong'"),
    ("atari/pong", {"stiky": True}, "did you mean 'sticky'"),
    ("atari/pong", {"lives": "resets"}, "did you mean 'reset'"),
    ("atari/pong", {"actions": "some"}, "known: all, needed"),
    ("atari/pong", {"repeat": 0}, "repeat=0"),
    ("atari/pong", {"noops": -1}, "noops=-1"),
  ],
)
def test_mistakes_are_one_line(name, options, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    envs.make(name, **options)
  assert "\n" not in str(caught.value)


def test_without_ale_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "ale_py.roms", None)
  with pytest.raises(errors.UserError, match=r"pip install 'carnet\[atari\]'"):
    envs.make("atari/pong")
