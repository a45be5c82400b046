"""A sample checkpoint with its papers; tests here may import `sample`."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import sample


@pytest.fixture(scope="session")
def original(tmp_path_factory):
  """Returns a step with passport and sign-off: copy it to change it."""
  step = sample.checkpoint(tmp_path_factory.mktemp("original"))
  sample.write(step)
  sample.sign(step)
  return step


@pytest.fixture
def step(original, tmp_path):
  """Returns a copy of the original step, signed off."""
  return sample.copy(original, tmp_path)
