"""The programs in README and docs run, and do what they say."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib

ROOT = pathlib.Path(__file__).parents[3]


class Batches:
  """A shuffled data iterator that can say where it is."""

  def __init__(self):
    self.position = 0

  def __next__(self):
    self.position += 1
    generator = np.random.default_rng(self.position)
    return generator.normal(size=2).astype(np.float32)

  def get_state(self):
    return {"position": self.position}

  def set_state(self, state):
    self.position = state["position"]


@jax.jit
def train_step(state, batch):
  loss = jnp.mean(batch)
  params = jax.tree.map(lambda x: x * jnp.float32(0.9) + loss, state["params"])
  return {"params": params, "step": state["step"] + 1}, {"loss": loss}


def _state():
  kernel = jnp.arange(6, dtype=jnp.float32).reshape(2, 3)
  params = {"encoder": {"kernel": kernel}, "head": {"bias": jnp.zeros(3)}}
  return {"params": params, "step": jnp.int32(0)}


def _namespace():
  return {
    "state": _state(),
    "fresh_state": jax.tree.map(jnp.zeros_like, _state()),
    "batches": Batches(),
    "train_step": train_step,
  }


def _programs(name, heading="# "):
  text = (ROOT / name).read_text()
  _, section = text.split(heading, 1)
  found = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
  assert found
  return found


def _expected(steps):
  state, batches = _state(), Batches()
  for _ in range(steps):
    state, _ = train_step(state, next(batches))
  return state


def test_the_programs_of_the_documentation_run_in_order(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  names = _namespace()
  for program in _programs("docs/checkpoint.md"):
    exec(compile(program, "docs/checkpoint.md", "exec"), names)
  np.testing.assert_array_equal(
    names["params"]["encoder"]["kernel"],
    _expected(1000)["params"]["encoder"]["kernel"],
  )
  assert names["config"] == {"learning_rate": 0.1}
  replay = names["Replay"]()
  replay.add({"action": np.zeros((5, 2), np.float32)})
  with checkpoint_lib.Checkpoint("runs/replay") as saved:
    saved.register("replay", replay)
    saved.save(1)
  again = names["Replay"]()
  with checkpoint_lib.Checkpoint("runs/replay") as saved:
    saved.register("replay", again)
    saved.load()
  assert (again.steps, len(again.chunks)) == (5, 1)


def test_the_ten_lines_of_the_readme_resume_exactly(tmp_path, monkeypatch):
  """Interrupted by an error in the middle, then run again."""
  monkeypatch.chdir(tmp_path)
  heading = "## Use it in your own training loop"
  program, *_ = _programs("README.md", heading)
  body = program.rsplit("\n\n", 1)[1].strip().splitlines()
  assert len(body) == 10

  def failing(state, batch):
    if int(state["step"]) == 620:
      raise RuntimeError("the power is gone")
    return train_step(state, batch)

  names = _namespace() | {"train_step": failing}
  with pytest.raises(RuntimeError, match="power"):
    exec(compile(program, "README.md", "exec"), names)
  names = _namespace()
  exec(compile(program, "README.md", "exec"), names)
  assert names["step"] == names["total_steps"] == 1000
  assert checkpoint_lib.Checkpoint("runs/mine").steps()[-1] == 1000
  stored = checkpoint_lib.read("runs/mine")
  expected = _expected(1000)
  np.testing.assert_array_equal(
    stored["agent"]["params"]["encoder"]["kernel"],
    expected["params"]["encoder"]["kernel"],
  )
  assert stored["agent"]["step"] == 1000
  assert stored["data"] == {"position": 1000}
