"""The generators that an exported checkpoint starts with."""

import hashlib
import os
import pathlib
import random

import numpy as np
import pytest
import safetensors.numpy

from act.lerobot import random_state

DEFAULT = pathlib.Path(__file__).parents[2] / "fixtures/lerobot_act_tiny"
FIXTURES = pathlib.Path(os.environ.get("ACT_FIXTURES", DEFAULT))


def written(directory: pathlib.Path, seed: int) -> dict[str, np.ndarray]:
  random_state.write(directory, seed)
  return safetensors.numpy.load_file(directory / random_state.NAME)


def test_tensors_are_those_of_lerobot(tmp_path: pathlib.Path) -> None:
  [path] = FIXTURES.glob("run/checkpoints/*/training_state/rng_state.*")
  theirs = safetensors.numpy.load_file(path)
  ours = written(tmp_path, 1000)
  assert {name: (x.shape, x.dtype) for name, x in ours.items()} == {
    name: (x.shape, x.dtype)
    for name, x in theirs.items()
    if not name.startswith(("torch_cuda", "torch_mps"))
  }


# torch 2.11: torch.manual_seed(seed); torch.get_rng_state(), its sha256
@pytest.mark.parametrize(
  ("seed", "sha256"),
  [
    (0, "1ccf17250133dec5e96478acd63e13d728d0dbbabb30389415a302c6f872f81f"),
    (1000, "25dac5c4d62cabd6f20d14acde5e064e1ac8d35969a41548b4951ef8d038ecd6"),
    (
      2**40 + 7,
      "08e51d64c2cbb1dc42de09f843c2c55ace6a1c83f2b47789b18239094bf0ba69",
    ),
  ],
)
def test_torch_state_is_that_of_manual_seed(
  tmp_path: pathlib.Path, seed: int, sha256: str
) -> None:
  state = written(tmp_path, seed)["torch_rng_state"]
  assert hashlib.sha256(state.tobytes()).hexdigest() == sha256


def test_python_and_numpy_go_on_as_if_seeded(tmp_path: pathlib.Path) -> None:
  """As LeRobot's `deserialize_rng_state` sets them."""
  found = written(tmp_path, 3)
  python, theirs = random.Random(), random.Random(3)
  state = tuple(found["py_rng_state"].tolist())
  python.setstate((int(found["py_rng_version"][0]), state, None))
  assert [python.random() for _ in range(5)] == [
    theirs.random() for _ in range(5)
  ]
  generator = np.random.RandomState()
  generator.set_state(
    (
      "MT19937",
      found["np_rng_state_values"],
      found["np_rng_state_index"].item(),
      found["np_rng_has_gauss"].item(),
      found["np_rng_cached_gaussian"].item(),
    )
  )
  expected = np.random.RandomState(3).standard_normal(5)
  np.testing.assert_array_equal(generator.standard_normal(5), expected)
