"""Every preset: it builds, passes its own check, and survives a file."""

import importlib

import pytest
import tiny_loop

from carnet import config as config_lib
from carnet import errors
from dreamer import config as dreamer_config
from dreamer import config_check

DEFAULT = dreamer_config.default_config
VARIANTS = {
  "atari": ("pong", "pong,current", "pong,published"),
  "atari100k": ("boxing", "boxing,current", "boxing,published"),
  "catch": ("",),
  "crafter": ("200m", "12m", "1m"),
  "debug": ("gym:CartPole-v1", "dmc/walker_walk", "catch"),
  "dmc_proprio": (
    *("walker_walk", "walker_walk,current", "cup_catch,published"),
    "walker_walk,small",
  ),
  "dmc_vision": ("walker_walk", "walker_walk,current", "walker_walk,published"),
}
ALL = [(name, variant) for name in VARIANTS for variant in VARIANTS[name]]


def _get(name, *variant):
  return importlib.import_module(f"configs.dreamer.{name}").get_config(*variant)


@pytest.mark.parametrize(("name", "variant"), ALL)
def test_every_preset_is_sound(name, variant):
  config = _get(name, variant) if variant else _get(name)
  assert config.is_locked
  config_check.check(config)
  again = config_lib.from_json(config_lib.to_json(config), DEFAULT())
  assert again == config
  assert set(config) == set(DEFAULT())
  first = VARIANTS[name][0]
  if variant == first and first:
    assert _get(name) is not None


def _facts(config):
  """Returns (deter, repeat, train ratio, steps, environments)."""
  loop = config.loop
  return (
    config.rssm.deter,
    config.environment.repeat,
    loop.train_ratio,
    config.total_steps,
    loop.environments,
  )


@pytest.mark.parametrize(
  ("name", "variant", "facts"),
  [
    ("dmc_proprio", "walker_walk", (512, 1, 1024.0, 1_100_000, 16)),
    ("dmc_proprio", "walker_walk,published", (2048, 2, 512.0, 300_000, 16)),
    ("dmc_proprio", "walker_walk,small", (512, 2, 512.0, 300_000, 16)),
    ("dmc_vision", "walker_walk", (8192, 1, 256.0, 1_100_000, 16)),
    ("dmc_vision", "walker_walk,published", (2048, 2, 512.0, 600_000, 16)),
    ("crafter", "200m", (8192, 1, 512.0, 1_100_000, 1)),
    ("crafter", "12m", (2048, 1, 512.0, 1_100_000, 1)),
    ("atari", "pong", (8192, 1, 32.0, 51_000_000, 16)),
    ("atari100k", "pong", (8192, 1, 256.0, 110_000, 1)),
  ],
)
def test_what_the_docstrings_promise(name, variant, facts):
  assert _facts(_get(name, variant)) == facts


def test_pictures_of_atari_in_both_protocols():
  size = {
    variant: _get("atari", f"pong,{variant}").environment.atari.image_size
    for variant in ("current", "published")
  }
  assert size == {"current": 96, "published": 64}
  few = {
    variant: _get("atari100k", f"pong,{variant}").environment.atari
    for variant in ("current", "published")
  }
  assert [few[v].actions for v in few] == ["needed", "all"]
  assert [few[v].noops for v in few] == [30, 0]
  assert not any(one.sticky or one.gray for one in few.values())


def test_one_update_for_four_frames_of_the_published_control_suite():
  config = _get("dmc_proprio", "walker_walk,published")
  replayed = config.batch_size * config.batch_length
  frames = replayed / config.loop.train_ratio * config.environment.repeat
  assert frames == 4


@pytest.mark.parametrize(
  ("name", "variant"),
  [
    ("atari", "pong,publishd"),
    ("atari100k", "pong,publishd"),
    ("dmc_proprio", "walker_walk,publishd"),
    ("dmc_vision", "walker_walk,publishd"),
  ],
)
def test_an_unknown_protocol_is_told(name, variant):
  with pytest.raises(errors.UserError, match="did you mean 'published'"):
    _get(name, variant)


def test_an_unknown_size_is_told():
  with pytest.raises(errors.UserError, match="did you mean '12m'"):
    _get("crafter", "12mm")


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"batch_size": 0}, "config.batch_size=0: must be above 0"),
    ({"batch_length": -1}, "config.batch_length=-1"),
    ({"replay_context": 0}, "config.replay_context=0: must be above 0"),
    ({"optimizer.lr": float("nan")}, "config.optimizer.lr=nan: must be fin"),
    ({"optimizer.lr": -1.0}, "config.optimizer.lr=-1.0: must be 0 or more"),
    ({"optimizer.beta1": 1.5}, "config.optimizer.beta1=1.5: must be from 0"),
    ({"optimizer.schedule": "liner"}, "did you mean 'linear'"),
    ({"replay.memory": "hots"}, "did you mean 'host'"),
    ({"replay.uniform": 0.5}, "replay.uniform=0.5: must be 1 together with"),
    ({"optimizer.schedule": "cosine"}, "optimizer.anneal=0: must be above"),
    ({"optimizer.beta1": 1.0}, "optimizer.beta1=1.0: must be from 0 to below"),
    ({"rssm.dynlayers": 0}, "config.rssm.dynlayers=0: must be above 0"),
    ({"actor.maxstd": 0.05}, "config.actor.maxstd=0.05: must be above actor"),
    ({"slow_critic.every": 0}, "config.slow_critic.every=0: must be above 0"),
    ({"seed": 2**40}, "must be below 2**31"),
    ({"evaluation.actions": "modes"}, "did you mean 'mode'"),
    ({"rssm.deter": 18}, "rssm.deter=18: must be a multiple of rssm.blocks=4"),
    ({"reward.bins": 40}, "config.reward.bins=40: must be odd"),
    ({"return_norm.low": 99.0}, "return_norm.low=99.0: must be a percentile"),
    (
      {"evaluation.video_context": 8, "evaluation.video_every_steps": 1},
      "video_context=8: must be below batch_length=8",
    ),
    (
      {"replay.memory": "device", "devices": 2},
      "set config.devices=1, not 2",
    ),
    ({"seed": -1}, "config.seed=-1: must be 0 or more"),
    ({"loop.processes": -1}, "config.loop.processes=-1"),
    ({"loop.environments": 0}, "config.loop.environments=0"),
  ],
)
def test_values_that_cannot_be_meant(change, message):
  config = tiny_loop.cartpole()
  config.update_from_flattened_dict(change)
  with pytest.raises(errors.UserError) as caught:
    config_check.check(config)
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)


def test_a_run_must_reach_its_first_update():
  """The runs of test_train.py and test_compiled.py begin to learn there."""
  for make, first in (
    (tiny_loop.cartpole, 32),
    (tiny_loop.walker, 24),
    (tiny_loop.catch, 48),
  ):
    config = make()
    config.total_steps = first + 1
    config_check.check(config)
    config.total_steps = first
    with pytest.raises(
      errors.UserError, match=f"no more than the {first} steps that come before"
    ):
      config_check.check(config)
    config.loop.train_ratio = 0.0  # a run that only plays
    if not config.loop.compiled:
      config_check.check(config)


@pytest.mark.parametrize(
  ("make", "least"),
  [
    (tiny_loop.cartpole, 2 * (16 + 17)),
    (tiny_loop.walker, 24 + 9),
    (tiny_loop.catch, 4 * 12),
  ],
)
def test_the_first_batch_must_fit_into_the_replay(make, least):
  config = make()
  config.replay.capacity = least
  config_check.check(config)
  config.replay.capacity = least - 1
  with pytest.raises(errors.UserError, match=f"need at least {least} steps"):
    config_check.check(config)
