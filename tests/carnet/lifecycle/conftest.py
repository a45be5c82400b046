"""Signed sample checkpoints that were evaluated; tests may import `worlds`."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "passport"))
import sample
import worlds

from carnet.passport.checks import catalogue, files, schema, signoff


@pytest.fixture(autouse=True)
def _short_catalogue(monkeypatch):
  """Files and papers: the whole catalogue has tests of its own."""
  short = (*schema.CHECKS, *files.CHECKS, *signoff.CHECKS)
  monkeypatch.setattr(catalogue, "CHECKS", short)


@pytest.fixture(scope="session")
def original(tmp_path_factory):
  """Returns a step without papers."""
  return sample.checkpoint(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="session")
def runs(original, tmp_path_factory):
  """Returns three runs with a good, signed step each: do not change them."""
  root = tmp_path_factory.mktemp("runs")
  return [worlds.run(original, root / name, name) for name in "abc"]


@pytest.fixture
def run(original, tmp_path):
  """Returns a good, signed step of a run, to be changed."""
  return worlds.run(original, tmp_path / "run", "run")


@pytest.fixture
def deployment(tmp_path):
  """Returns where a deployment may be made."""
  return tmp_path / "deployment"
