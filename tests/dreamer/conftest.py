"""Helper modules of the tests here, and runs that several of them look at."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(scope="session")
def cartpole_run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """Returns the workdir of `tiny_loop.cartpole`, which nobody interrupted."""
  import tiny_loop

  return _trained(tiny_loop.cartpole(), tmp_path_factory)


@pytest.fixture(scope="session")
def walker_run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """Returns the workdir of `tiny_loop.walker`."""
  import tiny_loop

  return _trained(tiny_loop.walker(), tmp_path_factory)


@pytest.fixture(scope="session")
def catch_run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """Returns the workdir of `tiny_loop.catch`."""
  import tiny_loop

  return _trained(tiny_loop.catch(), tmp_path_factory)


def _trained(config, factory):
  from dreamer import train

  workdir = factory.mktemp("dreamer") / "run"
  train.train(config, workdir)
  return workdir
