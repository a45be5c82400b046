"""Leaving out, trying out, not verifying, and other programs' checkpoints."""

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import digest, leaves, plan


def _state(value):
  return {
    "params": {
      "encoder": {
        "kernel": jnp.full((2, 3), value),
        "bias": jnp.full(3, value),
      },
      "head": {"kernel": jnp.full((3, 4), value)},
    },
    "optimizer": {"mu": jnp.full(5, value)},
  }


def _open(path, value=0.0, **others):
  checkpoint = checkpoint_lib.Checkpoint(path, verbose=False)
  agent = checkpoint.register("agent", _state(value))
  for name, other in others.items():
    checkpoint.register(name, other)
  return checkpoint, agent


@pytest.fixture
def old(tmp_path):
  """A run with values 7 everywhere."""
  checkpoint, _ = _open(tmp_path / "old", 7.0, data={"next": 3})
  checkpoint.save(5)
  checkpoint.close()
  return tmp_path / "old"


def test_what_is_excluded_stays(old, tmp_path):
  checkpoint, agent = _open(tmp_path / "new", data={"next": 0})
  found = checkpoint.load(
    old, regex="agent/params/.*", exclude=".*/(bias|head/.*)"
  )
  assert found.paths(plan.RESTORED) == ["agent/params/encoder/kernel"]
  assert agent.value["params"]["encoder"]["kernel"][0, 0] == 7
  assert agent.value["params"]["encoder"]["bias"][0] == 0
  assert agent.value["params"]["head"]["kernel"][0, 0] == 0
  checkpoint.save(0)
  checkpoint.close()
  (parent,) = checkpoint_lib.read_manifest(tmp_path / "new").lineage
  assert parent["exclude"] == ".*/(bias|head/.*)"


def test_excluding_alone_restores_all_the_rest(old, tmp_path):
  checkpoint, agent = _open(tmp_path / "new")
  found = checkpoint.load(old, exclude="data|agent/optimizer/.*")
  assert found.counts() == {
    plan.RESTORED: 3,
    plan.KEPT: 1,
    plan.IGNORED: 1,
  }
  assert agent.value["optimizer"]["mu"][0] == 0


def test_an_expression_that_excludes_nothing_is_a_mistake(old, tmp_path):
  checkpoint, _ = _open(tmp_path / "new")
  with pytest.raises(checkpoint_lib.MismatchError, match="optimiser"):
    checkpoint.load(old, exclude="agent/optimiser/.*")


def test_a_dry_run_reports_faults_reads_no_leaf_and_changes_nothing(
  old, tmp_path
):
  for path in (old / "000000005/agent").rglob("*"):
    if path.is_file():
      path.unlink()  # a restore would notice
  checkpoint, agent = _open(tmp_path / "new")
  found = checkpoint.load(old, dry_run=True)
  assert found.counts() == {plan.RESTORED: 4, plan.UNEXPECTED: 1}
  assert found.dry_run
  assert found.to_json()["totals"][plan.RESTORED] == {
    "leaves": 4,
    "size_bytes": 4 * (6 + 3 + 12 + 5),
  }
  assert agent.value["params"]["head"]["kernel"][0, 0] == 0
  assert not (tmp_path / "new").exists()
  rows = {row["path"]: row for row in found.to_json()["leaves"]}
  assert rows["agent/params/head/kernel"]["stored"] == "float32[3, 4]"
  assert rows["data"]["status"] == "unexpected"


def test_verification_is_on_and_can_be_turned_off(old, monkeypatch):
  hashed = []
  real = digest.leaf
  monkeypatch.setattr(digest, "leaf", lambda x: (hashed.append(1), real(x))[1])
  for verify, count in ((True, 4), (False, 0)):
    hashed.clear()
    checkpoint, agent = _open(old, data={"next": 0})
    checkpoint.load(verify=verify)
    assert len(hashed) == count
    assert agent.value["optimizer"]["mu"][0] == 7


def test_evaluation_reads_parameters_and_nothing_else(old):
  """All that is no parameter may be gone or wrong."""
  step = old / "000000005"
  (step / "data/state.json").write_text("garbage")
  read = []
  real = checkpoint_lib.access.reader.contents

  def contents(path, found, wanted, hashed):
    read.extend(wanted)
    return real(path, found, wanted, hashed)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(checkpoint_lib.access.reader, "contents", contents)
    params = checkpoint_lib.read(old, regex="agent/params/.*")["agent"][
      "params"
    ]
  assert sorted(read) == [
    "agent/params/encoder/bias",
    "agent/params/encoder/kernel",
    "agent/params/head/kernel",
  ]
  np.testing.assert_array_equal(params["head"]["kernel"], np.full((3, 4), 7.0))


def _tensors():
  return {
    "net.encoder.kernel": np.full((2, 3), 9, np.float32),
    "net.encoder.bias": np.full(3, 9, np.float32),
    "net.head.kernel": np.full((3, 5), 9, np.float32),  # of another task
  }


def test_a_safetensors_file_is_a_parent(tmp_path):
  file = tmp_path / "model.safetensors"
  safetensors.numpy.save_file(_tensors(), file)
  checkpoint, agent = _open(tmp_path / "new")
  rename = {r"net\.(\w+)\.(\w+)": r"agent/params/\1/\2"}
  regex = "agent/params/encoder/.*"
  found = checkpoint.load(file, regex=regex, rename=rename)
  assert found.counts() == {plan.RESTORED: 2, plan.KEPT: 2}
  assert found.step is None
  assert agent.value["params"]["encoder"]["kernel"][0, 0] == 9
  checkpoint.load_or_save()
  checkpoint.close()
  (parent,) = checkpoint_lib.read_manifest(tmp_path / "new").lineage
  assert parent["path"] == str(file)
  taken = [
    (name, digest.leaf(value))
    for name, value in _tensors().items()
    if "encoder" in name
  ]
  assert parent["taken_tree_sha256"] == digest.tree(taken)
  with pytest.raises(
    checkpoint_lib.MismatchError, match=r"head/kernel .*stored float32\[3, 5\]"
  ):
    checkpoint.load(file, regex="agent/params/.*", rename=rename)


def test_an_orbax_manager_is_a_parent_and_can_be_read(tmp_path):
  state = {"params": _state(4.0)["params"], "step": 12}
  with ocp.CheckpointManager(tmp_path / "other") as manager:
    manager.save(12, args=ocp.args.StandardSave(state))
  checkpoint, agent = _open(tmp_path / "new")
  found = checkpoint.load(
    tmp_path / "other",
    regex="agent/params/.*",
    rename={"params/(.*)": r"agent/params/\1"},
  )
  assert found.step == 12
  assert found.counts() == {plan.RESTORED: 3, plan.KEPT: 1, plan.IGNORED: 1}
  assert agent.value["params"]["head"]["kernel"][0, 0] == 4
  read = checkpoint_lib.read(tmp_path / "other", regex="params/.*/kernel|step")
  assert set(read["params"]) == {"encoder", "head"}
  assert read["step"] == 12


def test_what_is_no_checkpoint_of_any_kind_is_said(tmp_path):
  (tmp_path / "notes.txt").write_text("hello")
  checkpoint, _ = _open(tmp_path / "new")
  for place in (tmp_path, tmp_path / "notes.txt", tmp_path / "none"):
    with pytest.raises(errors.UserError, match="no checkpoint at"):
      checkpoint.load(place)


def test_rules_are_written_as_pattern_arrow_replacement():
  assert plan.parse_rename(("a => b", r"c/(.*)=>d/\1")) == {
    "a": "b",
    "c/(.*)": r"d/\1",
  }
  for rules in (("a -> b",), ("=> b",), ("a=>b", "a=>c")):
    with pytest.raises(errors.UserError, match="pattern => replacement"):
      plan.parse_rename(rules)


def test_chunks_cannot_stand_for_arrays():
  assert not leaves.CHUNKS.accepts(leaves.JSON)
  assert not leaves.Spec((), "float32").accepts(leaves.CHUNKS)
  assert not leaves.CHUNKS.accepts(leaves.Spec((), "python:int"))
