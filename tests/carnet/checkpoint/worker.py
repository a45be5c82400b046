"""One of several processes that train and save together, for test_processes.

worker.py INDEX COUNT PORT DIRECTORY TASK
"""

import sys

import jax
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors

INDEX, COUNT, PORT = map(int, sys.argv[1:4])
DIRECTORY, TASK = sys.argv[4:]
ROWS = 12


class Iterator:
  """Counts, each process for itself."""

  def __init__(self):
    self.position = 100 * INDEX

  def get_state(self):
    return {"position": self.position}

  def set_state(self, state):
    self.position = state["position"]


class Replay:
  """Chunks, each process its own."""

  def __init__(self):
    self.chunks = []

  def add(self, value):
    array = np.full(16, value, np.int32)
    self.chunks.append(checkpoint_lib.Chunk({"x": array}))

  def state(self):
    return checkpoint_lib.Chunked(self.chunks, {"owner": INDEX})

  def load_state(self, state):
    assert state.facts == {"owner": INDEX}
    self.chunks = list(state.chunks)


def make_state():
  auto = (jax.sharding.AxisType.Auto,)
  mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=auto)
  split = jax.sharding.NamedSharding(mesh, jax.P("data"))
  whole = jax.sharding.NamedSharding(mesh, jax.P())

  def place(array, sharding):
    return jax.make_array_from_callback(
      array.shape, sharding, lambda index: array[index]
    )

  wide = np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)
  return {
    "split": place(wide, split),
    "whole": place(np.arange(5.0, dtype=np.float32), whole),
    "half": place(wide.astype(jax.numpy.bfloat16), split),
    "key": jax.random.key(7),
    "step": 0,
  }


@jax.jit
def train_step(state):
  return state | {
    "split": state["split"] * 2 + 1,
    "whole": state["whole"] + state["split"].sum(),
    "half": -state["half"],
    "step": state["step"] + 1,
  }


def local(array):
  """Returns what of an array lies here, as numpy by place."""
  return {str(s.index): np.asarray(s.data) for s in array.addressable_shards}


def equal(a, b):
  one, other = local(a), local(b)
  return one.keys() == other.keys() and all(
    np.array_equal(one[k], other[k]) for k in one
  )


def open_all(name="shared"):
  checkpoint = checkpoint_lib.Checkpoint(
    f"{DIRECTORY}/{name}", checkpoint_lib.Retention(latest=2), verbose=False
  )
  checkpoint.attach("process.json", lambda: {"index": INDEX})
  agent = checkpoint.register("agent", make_state())
  data = checkpoint.register("data", Iterator())
  replay = checkpoint.register("replay", Replay())
  local_arrays = checkpoint.register(
    "envs", {"noise": np.full(3, float(INDEX))}, per_process=True
  )
  return checkpoint, agent, data, replay, local_arrays


def train(steps):
  checkpoint, agent, data, replay, envs = open_all()
  with checkpoint:
    start = checkpoint.load_or_save()
    for step in range(start, steps):
      agent.value = train_step(agent.value)
      data.position += 1
      replay.add(1000 * INDEX + step)
      envs.value = {"noise": envs.value["noise"] + 10}
      checkpoint.save(step + 1)
  return start, agent.value, data, replay, envs.value


def task_train():
  start, *_ = train(3)
  assert start == 0
  start, state, data, replay, envs = train(5)
  assert start == 3
  expected = make_state()
  for _ in range(5):
    expected = train_step(expected)
  for name in ("split", "whole", "half"):
    assert equal(state[name], expected[name]), name
  assert state["split"].sharding.is_equivalent_to(expected["split"].sharding, 2)
  assert jax.random.key_data(state["key"]).tolist() == [0, 7]
  assert data.position == 100 * INDEX + 5
  assert [int(c.arrays["x"][0]) for c in replay.chunks] == [
    1000 * INDEX + step for step in range(5)
  ]
  assert envs["noise"].tolist() == [INDEX + 50.0] * 3


def task_different():
  """A leaf that should be one and is two."""
  checkpoint = checkpoint_lib.Checkpoint(f"{DIRECTORY}/bad", verbose=False)
  checkpoint.register("agent", {"rng": np.full(3, INDEX)})
  checkpoint.save(0)
  differs = "agent/rng differs between process 0 and process 1"
  with pytest.raises(checkpoint_lib.SaveError, match=differs):
    checkpoint.close()
  assert checkpoint.steps() == []


def _save_and_wait(checkpoint, step, metrics=None):
  checkpoint.save(step, metrics)
  checkpoint.wait()


def task_one_raises():
  """A component that raises in one process fails the save in all."""
  checkpoint = checkpoint_lib.Checkpoint(f"{DIRECTORY}/raise", verbose=False)
  agent = checkpoint.register("agent", {"w": np.zeros(3)})
  checkpoint.load_or_save()
  checkpoint.wait()
  if INDEX == 1:
    agent.value = {"w": object()}
  with pytest.raises(errors.UserError, match="agent/w is "):
    _save_and_wait(checkpoint, 1)
  assert checkpoint.steps() == [0]
  agent.value = {"w": np.ones(3)}
  checkpoint.save(1)
  checkpoint.close()
  assert checkpoint.steps() == [0, 1]


def task_unlike():
  """What only one process has would be lost, so it is refused."""
  for name, difference in (
    ("components", {"a": {"x": 1.0}} if INDEX else {"b": {"x": 1.0}}),
    (
      "leaves",
      {"a": {"x": np.ones(2), **({"y": np.ones(2)} if INDEX else {})}},
    ),
    ("attached files", {"a": np.ones(2)}),
  ):
    path = f"{DIRECTORY}/unlike {name}"
    checkpoint = checkpoint_lib.Checkpoint(path, verbose=False)
    for component, state in difference.items():
      checkpoint.register(component, state)
    checkpoint.attach("note.json", INDEX if name == "attached files" else 0)
    checkpoint.save(0)
    with pytest.raises(checkpoint_lib.SaveError, match=f"different {name}"):
      checkpoint.close()
    assert checkpoint.steps() == []


def task_early_mistake():
  """A mistake in one process fails that save in all, and no later one."""
  checkpoint = checkpoint_lib.Checkpoint(f"{DIRECTORY}/early", verbose=False)
  checkpoint.register("agent", np.ones(3))
  checkpoint.load_or_save()
  checkpoint.wait()
  with pytest.raises(errors.UserError, match="metric"):
    _save_and_wait(checkpoint, 1, {"loss": object() if INDEX else 0.0})
  with pytest.raises(errors.UserError, match="different steps"):
    checkpoint.save(1 + INDEX)
  checkpoint.save(3)
  checkpoint.close()
  assert checkpoint.steps() == [0, 3]


class Moody:
  """Takes no state in one process."""

  def state(self):
    return {"n": 1}

  def load_state(self, state):
    if INDEX == 1:
      raise RuntimeError("not today")


def task_raising_load():
  path = f"{DIRECTORY}/moody"
  checkpoint = checkpoint_lib.Checkpoint(path, verbose=False)
  checkpoint.register("envs", Moody())
  checkpoint.save(1)
  checkpoint.wait()
  kind = RuntimeError if INDEX else errors.UserError
  with pytest.raises(kind, match="not today" if INDEX else "process 1 could"):
    checkpoint.load_or_save()
  checkpoint.close()


def task_damaged_for_one():
  """All go back to the step that is sound for all."""
  path = f"{DIRECTORY}/damaged"
  checkpoint = checkpoint_lib.Checkpoint(path, verbose=False)
  data = checkpoint.register("data", Iterator())
  for step in (1, 2):
    data.position += 1
    checkpoint.save(step)
  checkpoint.close()
  file = f"{path}/000000002/data/process_1_of_2/state.json"
  if INDEX == 1:
    with open(file, "a") as opened:
      opened.write(" ")
  checkpoint = checkpoint_lib.Checkpoint(path, verbose=False)
  data = checkpoint.register("data", Iterator())
  assert checkpoint.load_or_save() == 1
  assert "damaged" in checkpoint.skipped["000000002"]
  assert data.position == 100 * INDEX + 1
  checkpoint.close()


def task_not_shared():
  checkpoint = checkpoint_lib.Checkpoint(f"{DIRECTORY}/own_{INDEX}")
  checkpoint.register("agent", {"w": np.zeros(3)})
  with pytest.raises(errors.UserError, match="all processes share"):
    checkpoint.load_or_save()


def task_refused():
  """The directory is locked by the test itself."""
  checkpoint = checkpoint_lib.Checkpoint(f"{DIRECTORY}/locked")
  checkpoint.register("agent", {"w": np.zeros(3)})
  refused = "being written by" if INDEX == 0 else "process 0 cannot"
  with pytest.raises(errors.UserError, match=refused):
    checkpoint.load_or_save()


def task_resume():
  """Goes on with another number of processes than saved."""
  checkpoint, agent, data, _, _ = open_all()
  with checkpoint:
    with pytest.raises(checkpoint_lib.MismatchError) as caught:
      checkpoint.load_or_save()
    for name in ("data", "replay", "envs"):
      assert f"each of 2 processes saved its own '{name}'" in str(caught.value)
    expected = make_state()
    for _ in range(5):
      expected = train_step(expected)
    found = checkpoint.load(components=["agent"])
    assert found.step == 5
    for name in ("split", "whole", "half"):
      assert equal(agent.value[name], expected[name]), name
    data.position = 55
    checkpoint.save(6)
  checkpoint, _, data, _, _ = open_all()
  with checkpoint:
    assert checkpoint.load_or_save() == 6
    assert data.position == 55


def main():
  jax.config.update("jax_num_cpu_devices", 2)
  if COUNT > 1:
    jax.distributed.initialize(f"127.0.0.1:{PORT}", COUNT, INDEX)
  tasks = TASK.split(",")
  for task in tasks:
    globals()[f"task_{task}"]()
  print("passed", *tasks)


if __name__ == "__main__":
  main()
