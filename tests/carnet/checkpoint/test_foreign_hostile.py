"""Orbax checkpoints that were damaged, or forged to do harm."""

import json
import os
import re
import shutil
import sys

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import foreign, foreign_source, leaves


def _save(path, tree, **options):
  handler = ocp.PyTreeCheckpointHandler(**options)
  with ocp.Checkpointer(handler) as checkpointer:
    checkpointer.save(path, args=ocp.args.PyTreeSave(tree))


def test_unknown_leaves_are_named(tmp_path):
  _save(tmp_path / "plain", {"kernel": jnp.ones(2)})
  with pytest.raises(errors.UserError, match="did you mean 'kernel'"):
    foreign.find(tmp_path / "plain").contents(["kernal"])


@pytest.mark.parametrize(
  ("tree", "names"),
  [
    ({"a/b": 1.0, "a": {"b": 2.0}}, ["['a/b']", "['a']['b']"]),
    ({"a.b": 1.0, "a": {"b": 2.0}}, ["['a.b']", "['a']['b']"]),
  ],
)
def test_two_leaves_of_one_path_are_both_named(tmp_path, tree, names):
  _save(tmp_path / "plain", tree)
  with pytest.raises(errors.UserError) as caught:
    foreign.find(tmp_path / "plain")
  for name in names:
    assert name in str(caught.value)


def _forge(path, change):
  metadata = json.loads((path / "_METADATA").read_text())
  change(metadata)
  (path / "_METADATA").write_text(json.dumps(metadata))


def _read_all(path):
  found = foreign.find(path)
  return found.contents(found.specs())


def _refused(path, match):
  with pytest.raises(checkpoint_lib.CorruptError, match=match) as caught:
    _read_all(path)
  assert path.name in str(caught.value)
  assert "\n" not in str(caught.value)
  assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
  "key", ["{}/outside/w", "../outside/w", "a//b", "a\\b"]
)
@pytest.mark.parametrize("ocdbt", [True, False])
def test_a_key_leads_nowhere_else(tmp_path, key, ocdbt):
  for name in ("outside", "plain"):
    _save(tmp_path / name, {"w": jnp.ones(2)}, use_ocdbt=ocdbt)

  def change(metadata):
    (row,) = metadata["tree_metadata"].values()
    row["key_metadata"][0]["key"] = key.format(tmp_path)

  _forge(tmp_path / "plain", change)
  _refused(tmp_path / "plain", "cannot be part of a path")


@pytest.mark.parametrize(
  "what", ["array", "chunk", "_METADATA", "step", "item"]
)
def test_nothing_is_read_through_a_link(tmp_path, what):
  item = tmp_path / "run/1/default"
  _save(item, {"w": jnp.ones(2)}, use_ocdbt=False)
  (tmp_path / "run/1/_CHECKPOINT_METADATA").write_text("{}")
  inside = {
    "array": item / "w",
    "chunk": item / "w/0",
    "_METADATA": item / "_METADATA",
    "step": tmp_path / "run/1",
    "item": item,
  }[what]
  assert foreign.find(tmp_path / "run").contents(["w"])
  inside.rename(tmp_path / "outside")
  inside.symlink_to(tmp_path / "outside")
  _refused(tmp_path / "run", "is a link: nothing is read through it")


def test_a_pipe_is_not_waited_for(tmp_path):
  _save(tmp_path / "plain", {"w": jnp.ones(2)}, use_ocdbt=False)
  (tmp_path / "plain/w/0").unlink()
  os.mkfifo(tmp_path / "plain/w/0")
  _refused(tmp_path / "plain", "is no plain file")


@pytest.mark.parametrize("enlarged", ["shape", "chunks"])
def test_huge_arrays_are_not_read(tmp_path, enlarged, monkeypatch):
  """Also few values whose chunk would be unpacked as a whole."""
  assert foreign.LARGEST_READ_BYTES == 64 << 30
  monkeypatch.setattr(foreign, "LARGEST_READ_BYTES", 1 << 30)
  _save(
    tmp_path / "plain",
    {"w": jnp.ones(2), "x": jnp.ones(2)},
    use_ocdbt=False,
    use_zarr3=False,
  )
  header = tmp_path / "plain/w/.zarray"
  content = json.loads(header.read_text())
  header.write_text(json.dumps(content | {enlarged: [3 << 27]}))
  found = foreign.find(tmp_path / "plain")
  assert found.contents(["x"])["x"].tolist() == [1, 1]
  with pytest.raises(errors.UserError, match=r"declares 1\.5 GiB .* 1 GiB"):
    found.contents(["w"])


def test_the_limit_is_on_the_sum(tmp_path, monkeypatch):
  _save(tmp_path / "plain", {"w": jnp.ones(2), "x": jnp.ones(2)})
  monkeypatch.setattr(foreign, "LARGEST_READ_BYTES", 12)
  found = foreign.find(tmp_path / "plain")
  found.contents(["w"])
  with pytest.raises(errors.UserError, match="2 leaves"):
    found.contents(["w", "x"])


@pytest.mark.parametrize(
  "content",
  [
    "[" * 100_000,
    '{"tree_metadata": ' * 100_000,
    "[]",
    "{}",
    '{"tree_metadata": {"a": 1}}',
    '{"tree_metadata": {"a": {"key_metadata": [{}], "value_metadata": {}}}}',
    '{"tree_metadata": [',
    "\0\xff",
  ],
  ids=lambda text: text[:20],
)
def test_metadata_that_is_none(tmp_path, content):
  _save(tmp_path / "plain", {"w": jnp.ones(2)})
  (tmp_path / "plain/_METADATA").write_text(content)
  _refused(tmp_path / "plain", "_METADATA is not JSON|is unreadable")


@pytest.mark.parametrize("name", ["_METADATA", "w/.zarray"])
def test_large_metadata_is_not_parsed(tmp_path, monkeypatch, name):
  _save(tmp_path / "plain", {"w": jnp.ones(2)}, use_ocdbt=False)
  monkeypatch.setattr(foreign_source, "LARGEST_METADATA_BYTES", 2000)
  foreign.find(tmp_path / "plain")
  with (tmp_path / "plain" / name).open("a") as file:
    file.write(" " * 2000)
  _refused(tmp_path / "plain", r"has \d+ bytes: metadata may have 2000")


def test_nothing_that_metadata_names_is_imported(tmp_path, monkeypatch):
  (tmp_path / "modules").mkdir()
  (tmp_path / "modules/intruder.py").write_text("class Tool: pass\n")
  monkeypatch.syspath_prepend(tmp_path / "modules")
  _save(tmp_path / "plain", {"w": jnp.ones(2), "x": jnp.ones(2)})

  def change(metadata):
    row = metadata["tree_metadata"]["('w',)"]
    row["value_metadata"]["value_type"] = "intruder.Tool"

  _forge(tmp_path / "plain", change)
  path = tmp_path / "plain/_CHECKPOINT_METADATA"
  text = re.sub(r"orbax\.[\w.]*Handler", "intruder.Tool", path.read_text())
  assert "intruder" in text
  path.write_text(text)
  found = foreign.find(tmp_path / "plain")
  assert (set(found.specs()), found.skipped) == ({"x"}, ("w",))
  found.contents(["x"])
  assert "intruder" not in sys.modules


def test_a_number_that_hides_an_array_is_sized_as_one(tmp_path):
  _save(tmp_path / "plain", {"w": jnp.ones(2)})

  def change(metadata):
    row = metadata["tree_metadata"]["('w',)"]
    row["value_metadata"]["value_type"] = "scalar"

  _forge(tmp_path / "plain", change)
  found = foreign.find(tmp_path / "plain")
  assert found.specs() == {"w": leaves.Spec((2,), "float32")}


@pytest.mark.parametrize("damage", ["truncate", "delete"])
@pytest.mark.parametrize("ocdbt", [True, False])
def test_damaged_arrays_are_refused(tmp_path, damage, ocdbt):
  noise = np.random.default_rng(0).random(5000)
  _save(tmp_path / "plain", {"w": noise}, use_ocdbt=ocdbt)
  data = [p for p in (tmp_path / "plain").rglob("*") if p.is_file()]
  for path in data:
    size = path.stat().st_size
    if size < 20_000:
      continue
    if damage == "delete":
      path.unlink()
    else:
      os.truncate(path, size // 2)
  _refused(tmp_path / "plain", "is unreadable")


def test_an_array_that_changes_after_find_is_refused(tmp_path):
  for name, shape in (("one", 2), ("two", 3)):
    _save(tmp_path / name, {"w": jnp.ones(shape)}, use_ocdbt=False)
  found = foreign.find(tmp_path / "one")
  shutil.rmtree(tmp_path / "one")
  shutil.copytree(tmp_path / "two", tmp_path / "one")
  with pytest.raises(checkpoint_lib.CorruptError, match=r"w is float32\[3\]"):
    found.contents(["w"])


def test_a_loop_of_links(tmp_path):
  loop = tmp_path / "loop"
  loop.symlink_to(loop)
  _refused(loop, "is unreadable")
