"""Restoring a part: from another run, by expression, and under other names."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import plan


def _state(value, actor=3):
  params = {
    "encoder": {"kernel": jnp.full((2, 3), value)},
    "actor": {"kernel": jnp.full((3, actor), value)},
  }
  return {
    "step": jnp.int32(value),
    "params": params,
    "optimizer": jax.tree.map(lambda x: x * 10, params),
  }


def _save(directory, state, step=7, **others):
  with checkpoint_lib.Checkpoint(directory) as checkpoint:
    checkpoint.register("agent", state)
    for name, value in others.items():
      checkpoint.register(name, value)
    checkpoint.save(step)


def _open(directory, state, **others):
  checkpoint = checkpoint_lib.Checkpoint(directory, verbose=False)
  handle = checkpoint.register("agent", state)
  for name, value in others.items():
    checkpoint.register(name, value)
  return checkpoint, handle


def _value(tree):
  return {float(np.asarray(leaf).flat[0]) for leaf in jax.tree.leaves(tree)}


def test_fine_tuning_takes_the_named_leaves_alone_and_notes_its_parent(
  tmp_path,
):
  _save(tmp_path / "old/checkpoints", _state(2.0), data={"next": 5})
  checkpoint, agent = _open(
    tmp_path / "new/checkpoints", _state(1.0, actor=4), data={"next": 0}
  )
  report = checkpoint.load(tmp_path / "old", regex="agent/params/encoder/.*")
  assert report.paths(plan.RESTORED) == ["agent/params/encoder/kernel"]
  assert report.size_bytes(plan.RESTORED) == 2 * 3 * 4
  assert report.counts() == {
    plan.RESTORED: 1,
    plan.KEPT: 5,
  }
  assert _value(agent.value["params"]["encoder"]) == {2.0}
  assert _value(agent.value["params"]["actor"]) == {1.0}
  assert int(agent.value["step"]) == 1
  assert checkpoint.load_or_save() == 0
  checkpoint.close()

  (parent,) = checkpoint_lib.read_manifest(tmp_path / "new").lineage
  assert parent["path"] == str(tmp_path / "old/checkpoints/000000007")
  assert parent["step"] == 7
  assert parent["regex"] == "agent/params/encoder/.*"
  old = checkpoint_lib.read_manifest(tmp_path / "old")
  assert parent["tree_sha256"] == old.tree_sha256


def test_lineage_survives_a_resume_and_grows_with_generations(tmp_path):
  _save(tmp_path / "a", _state(1.0))
  for parent, child in (("a", "b"), ("b", "c")):
    checkpoint, _ = _open(tmp_path / child, _state(0.0))
    checkpoint.load(tmp_path / parent)
    checkpoint.load_or_save()
    checkpoint.close()
  checkpoint, _ = _open(tmp_path / "c", _state(0.0))
  assert checkpoint.load_or_save() == 0
  checkpoint.save(1)
  checkpoint.close()
  lineage = checkpoint_lib.read_manifest(tmp_path / "c").lineage
  assert [entry["step"] for entry in lineage] == [7, 0]


def test_leaves_are_restored_under_another_name(tmp_path):
  _save(tmp_path / "old", _state(2.0))
  state = {"net": {"kernel": jnp.zeros((2, 3))}, "step": jnp.int32(0)}
  checkpoint, agent = _open(tmp_path / "new", state)
  checkpoint.load(
    tmp_path / "old",
    regex="agent/net/.*",
    rename={"agent/params/encoder/(.*)": r"agent/net/\1"},
  )
  assert _value(agent.value["net"]) == {2.0}
  assert int(agent.value["step"]) == 0


def test_a_step_may_be_copied_and_named_by_any_of_three_paths(tmp_path):
  _save(tmp_path / "run/checkpoints", _state(2.0))
  step = tmp_path / "run/checkpoints/000000007"
  exported = tmp_path / "best"
  step.rename(exported)
  exported.rename(step)
  for path in (tmp_path / "run", tmp_path / "run/checkpoints", step):
    checkpoint, agent = _open(tmp_path / "other", _state(0.0))
    assert checkpoint.load(path).path == step
    assert _value(agent.value["params"]) == {2.0}
  step.rename(exported)
  assert checkpoint.load(exported).step == 7


def test_a_change_is_refused_before_anything_is_touched(tmp_path):
  _save(tmp_path, _state(2.0, actor=4))
  checkpoint, agent = _open(tmp_path, _state(1.0))
  with pytest.raises(checkpoint_lib.MismatchError) as caught:
    checkpoint.load()
  for path in ("agent/params/actor/kernel", "agent/optimizer/actor/kernel"):
    assert f"{path} is float32[3, 3], stored float32[3, 4]" in str(caught.value)
  assert _value(agent.value["params"]) == {1.0}
  report = checkpoint.load(strict=False)
  assert report.paths(plan.CHANGED) == [
    "agent/optimizer/actor/kernel",
    "agent/params/actor/kernel",
  ]
  assert _value(agent.value["params"]["encoder"]) == {2.0}
  assert _value(agent.value["params"]["actor"]) == {1.0}


def test_a_dtype_is_never_cast(tmp_path):
  _save(tmp_path, {"w": jnp.array([1.7])})
  for dtype in (jnp.int32, jnp.bfloat16):
    checkpoint, _ = _open(tmp_path, {"w": jnp.zeros(1, dtype)})
    with pytest.raises(checkpoint_lib.MismatchError, match="agent/w is"):
      checkpoint.load()


def test_a_mismatch_is_not_taken_for_damage(tmp_path):
  _save(tmp_path, _state(2.0, actor=4))
  checkpoint, _ = _open(tmp_path, _state(1.0))
  with pytest.raises(checkpoint_lib.MismatchError):
    checkpoint.load_or_save()
  assert checkpoint.skipped == {}


def test_components_that_only_one_side_has_are_named(tmp_path):
  _save(tmp_path, _state(2.0), data={"next": 5})
  checkpoint, agent = _open(tmp_path, _state(1.0), clock={"seconds": 0})
  with pytest.raises(checkpoint_lib.MismatchError) as caught:
    checkpoint.load()
  assert "unexpected: data" in str(caught.value)
  assert "missing: clock" in str(caught.value)
  checkpoint.load(components=("agent",))
  assert _value(agent.value["params"]) == {2.0}
  with pytest.raises(errors.UserError, match="unknown component 'agnt'"):
    checkpoint.load(components=("agnt",))
  with pytest.raises(errors.UserError, match="unknown stored component"):
    checkpoint.load(components=("clock",))


def test_abstract_targets_are_filled_or_refused(tmp_path):
  _save(tmp_path, _state(2.0))
  target = jax.eval_shape(lambda: _state(0.0))
  checkpoint, agent = _open(tmp_path, target)
  with pytest.raises(checkpoint_lib.MismatchError) as caught:
    checkpoint.load(regex="agent/params/.*")
  assert "agent/optimizer/encoder/kernel" in str(caught.value)
  assert "agent/params" not in str(caught.value)
  checkpoint.load()
  assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(agent.value))
  assert _value(agent.value["params"]) == {2.0}


def test_restoring_a_part_reads_a_part(tmp_path):
  generator = np.random.default_rng(0)
  blocks = {f"w{n}": generator.bytes(1 << 20) for n in range(64)}
  arrays = {name: np.frombuffer(b, np.uint8) for name, b in blocks.items()}
  _save(tmp_path, arrays)
  before = _bytes_read()
  part = checkpoint_lib.read(tmp_path, regex="agent/w(7|42)")["agent"]
  assert _bytes_read() - before < 0.1 * (64 << 20)
  assert set(part) == {"w7", "w42"}
  np.testing.assert_array_equal(part["w42"], arrays["w42"])


def _bytes_read():
  with open("/proc/self/io") as counters:
    return int(re.search(r"rchar: (\d+)", counters.read())[1])


def test_the_table_says_what_happened(tmp_path, capsys):
  _save(tmp_path / "old", _state(2.0, actor=4))
  checkpoint = checkpoint_lib.Checkpoint(tmp_path / "new")
  checkpoint.register("agent", _state(1.0))
  checkpoint.load(tmp_path / "old", regex="agent/params/.*", strict=False)
  table = capsys.readouterr().err
  assert re.search(r"1 .*restored .*24 .*agent/params/encoder/kernel", table)
  assert re.search(r"1 .*changed .*48 ", table)
  assert re.search(r"3 .*kept as", table)


@pytest.mark.parametrize("name", ["", "checkpoints", "checkpoints/000000001"])
def test_no_checkpoint_is_said_in_one_line(tmp_path, name):
  (tmp_path / "checkpoints").mkdir()
  with pytest.raises(errors.UserError, match="no checkpoint at"):
    checkpoint_lib.read(tmp_path / name)
