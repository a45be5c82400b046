"""Real checkpoints of both families with real papers, made once."""

import pathlib
import shutil
import sys

import pytest

TESTS = pathlib.Path(__file__).parents[1]
for folder in ("papers", "act", "dreamer", "carnet/passport"):
  sys.path.insert(0, str(TESTS / folder))


@pytest.fixture(scope="session")
def demonstrations(tmp_path_factory):
  """Returns 6 episodes of 20 steps, one camera, 32x32."""
  import fake_simulator

  from act import demonstrations

  settings = demonstrations.Settings(
    task="fake/numbers", episodes=6, height=32, width=32, renderer="raycast"
  )
  return demonstrations.collect(
    settings,
    tmp_path_factory.mktemp("papers") / "raw",
    workers=1,
    simulator=fake_simulator.Simulator(),
  )


@pytest.fixture(scope="session")
def act_step(demonstrations, tmp_path_factory):
  """Returns a step directory of ACT, with passport and sign-off."""
  import tiny_config

  from act import train

  config = tiny_config.get_config()
  config.dataset.path = str(demonstrations)
  workdir = tmp_path_factory.mktemp("act") / "run"
  train.train(config, workdir)
  return _issued(workdir / "checkpoints/000000010", tmp_path_factory)


@pytest.fixture(scope="session")
def catch_step(tmp_path_factory):
  """Returns a step directory of DreamerV3: pictures, discrete actions."""
  import tiny_loop

  return _dreamer(tiny_loop.catch(), tmp_path_factory, "000000288")


@pytest.fixture(scope="session")
def walker_step(tmp_path_factory):
  """Returns a step directory of DreamerV3: vectors, continuous actions."""
  import tiny_loop

  return _dreamer(tiny_loop.walker(), tmp_path_factory, "000000060")


def _dreamer(config, factory, step):
  from dreamer import train

  workdir = factory.mktemp("dreamer") / "run"
  train.train(config, workdir)
  return _issued(workdir / f"checkpoints/{step}", factory)


def _issued(step, factory):
  """Moves a step away from its run, as to a robot, and gives it papers."""
  from carnet.passport import generate, sign
  from carnet.passport.static import given

  moved = factory.mktemp("issued") / step.name
  shutil.copytree(step, moved)
  told = given.Given(argv=("generate-passport", "CHECKPOINT"))
  generate.generate(moved, told)
  # trained in a working tree with changes, as tests are
  sign.sign(moved, sign.Request(reason="a test: the tree may have changes"))
  return moved


@pytest.fixture
def copied(tmp_path):
  """Returns a function: step directory -> a copy to spoil."""

  def copy(step):
    return shutil.copytree(step, tmp_path / step.name)

  return copy
