"""Damage to any file of a step is noticed, named, and stepped back from."""

import json
import os
import shutil
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import digest, directory, integrity, manifest, reader

NEW, OLD = "000000002", "000000001"


def _open(path):
  checkpoint = checkpoint_lib.Checkpoint(path, verbose=False)
  agent = checkpoint.register(
    "agent", {"w": np.zeros(5000), "b": jnp.zeros(3), "none": np.zeros((0, 2))}
  )
  checkpoint.register("data", {"next_index": 0})
  return checkpoint, agent


@pytest.fixture(scope="module")
def original(tmp_path_factory):
  """Two steps with random arrays, JSON and attached files."""
  path = tmp_path_factory.mktemp("original")
  checkpoint, agent = _open(path)
  checkpoint.attach("config.json", {"seed": 1})
  checkpoint.attach("assets/frame.png", bytes(range(256)))
  for step in (1, 2):
    noise = np.random.default_rng(step).random(5000)
    agent.value = agent.value | {"w": noise, "b": jnp.full(3, float(step))}
    checkpoint.attach("config.json", {"seed": step})
    checkpoint.save(step)
  checkpoint.close()
  return path


def _flip(place):
  def damage(path):
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1 << 4
    path.write_bytes(content)

  return damage


def _truncate(path):
  os.truncate(path, path.stat().st_size // 2)


def _grow(path):
  path.write_bytes(path.read_bytes() + b"\n")


def _rename(path):
  path.rename(path.with_name("renamed"))


def _swap(path):
  """Puts the other step's file there; Orbax's data files differ in name."""
  other = path.parents[len(path.parts) - path.parts.index(NEW) - 2]
  other = other.with_name(OLD) / path.relative_to(other)
  if not other.exists():
    others = sorted(other.parent.iterdir())
    other = next(o for o in others if o.is_file())
  shutil.copyfile(other, path)


DAMAGES = {
  "first byte": _flip(0.0),
  "middle byte": _flip(0.5),
  "last byte": _flip(1.0),
  "truncate": _truncate,
  "grow": _grow,
  "delete": lambda path: path.unlink(),
  "rename": _rename,
  "swap": _swap,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_is_watched(original, tmp_path, damage):
  names = directory.files(original / NEW)
  assert len(names) >= 10
  for number, name in enumerate(names):
    path = tmp_path / str(number)
    shutil.copytree(original, path)
    before = (path / NEW / name).read_bytes()
    DAMAGES[damage](path / NEW / name)
    after = path / NEW / name
    if after.exists() and after.read_bytes() == before:
      continue  # both steps hold the same file

    faults = reader.verify(path / NEW)
    assert name in " ".join(faults), (name, faults)
    assert reader.verify(path / OLD) == []

    checkpoint, agent = _open(path)
    assert checkpoint.load_or_save() == 1, name
    assert name in checkpoint.skipped[NEW]
    assert agent.value["b"][0] == 1.0
    checkpoint.close()


def test_damage_beyond_the_small_files_names_the_leaf(
  original, tmp_path, monkeypatch
):
  """Large data files are not hashed on load: the leaf's digest finds it."""
  monkeypatch.setattr(integrity, "SMALL_BYTES", 1 << 14)
  shutil.copytree(original, tmp_path / "run")
  data = max(
    (tmp_path / "run" / NEW / "agent").rglob("*"),
    key=lambda path: path.stat().st_size,
  )
  _flip(0.5)(data)
  with pytest.raises(checkpoint_lib.CorruptError, match="leaf agent/w differs"):
    checkpoint_lib.read(tmp_path / "run" / NEW)
  checkpoint, _ = _open(tmp_path / "run")
  assert checkpoint.load_or_save() == 1
  assert "leaf agent/w differs" in checkpoint.skipped[NEW]
  checkpoint.close()


def test_an_explicit_step_is_never_exchanged_for_another(original, tmp_path):
  shutil.copytree(original, tmp_path / "run")
  _flip(0.5)(tmp_path / "run" / NEW / "data/state.json")
  checkpoint, _ = _open(tmp_path / "run")
  for path in (None, tmp_path / "run" / NEW):
    with pytest.raises(checkpoint_lib.CorruptError, match=r"data/state\.json"):
      checkpoint.load(path)


def test_a_newer_step_that_is_not_used_is_mentioned(original, tmp_path, caplog):
  shutil.copytree(original, tmp_path / "run")
  (tmp_path / "run" / NEW / manifest.NAME).unlink()
  assert checkpoint_lib.read_json(tmp_path / "run", "config.json")["seed"] == 1
  assert f"{NEW} has no sound manifest.json" in caplog.text


@pytest.mark.parametrize("what", ["file", "directory"])
def test_nothing_is_read_through_a_link(original, tmp_path, what):
  shutil.copytree(original, tmp_path / "run")
  step = tmp_path / "run" / NEW
  inside = step / {"file": "data/state.json", "directory": "agent"}[what]
  outside = tmp_path / "outside"
  inside.rename(outside)
  inside.symlink_to(outside)
  with pytest.raises(checkpoint_lib.CorruptError, match="behind a link"):
    checkpoint_lib.read(step)


def test_a_file_that_nobody_listed_is_found(original, tmp_path):
  shutil.copytree(original, tmp_path / "run")
  step = tmp_path / "run" / NEW
  (step / "agent/extra").write_text("x")
  (step / directory.PASSPORT).write_text("{}")  # issued after the save
  assert reader.verify(step) == ["agent/extra is not in the manifest"]


def _rewrite(step, change):
  """Forges a manifest: `change` alters its body, digests are made to fit."""
  path = step / manifest.NAME
  body = json.loads(path.read_bytes())
  change(body)
  del body["sha256"]
  path.write_bytes(manifest.seal(body))


def test_a_newer_format_is_no_damage(original, tmp_path):
  shutil.copytree(original, tmp_path / "run")
  _rewrite(tmp_path / "run" / NEW, lambda body: body.update(format_version=2))
  checkpoint, _ = _open(tmp_path / "run")
  with pytest.raises(errors.UserError, match="format version 2") as caught:
    checkpoint.load_or_save()
  assert not isinstance(caught.value, checkpoint_lib.CorruptError)
  checkpoint.close()


@pytest.mark.parametrize(
  "path", ["/etc/passwd", "../../secret", "data/../../x", "a//b", ""]
)
def test_a_forged_manifest_reaches_nothing_outside(original, tmp_path, path):
  shutil.copytree(original, tmp_path / "run")
  step = tmp_path / "run" / NEW

  def forge(body):
    body["files"][0]["path"] = path

  _rewrite(step, forge)
  with pytest.raises(checkpoint_lib.CorruptError, match="malformed"):
    checkpoint_lib.read(step)


def test_a_forged_dtype_selects_from_a_table(original, tmp_path):
  shutil.copytree(original, tmp_path / "run")

  def forge(body):
    body["leaves"][0]["dtype"] = "object"

  _rewrite(tmp_path / "run" / NEW, forge)
  with pytest.raises(
    checkpoint_lib.CorruptError, match="unknown dtype 'object'"
  ):
    checkpoint_lib.read(tmp_path / "run" / NEW)


def test_nothing_that_a_file_names_is_imported(original, tmp_path, monkeypatch):
  """Forged Orbax metadata, with digests that fit, names a module to import."""
  (tmp_path / "modules").mkdir()
  (tmp_path / "modules/burglar.py").write_text("class Tool: pass\n")
  monkeypatch.syspath_prepend(tmp_path / "modules")
  shutil.copytree(original, tmp_path / "run")
  step = tmp_path / "run" / NEW
  forged = 0
  for name in ("_METADATA", "_CHECKPOINT_METADATA"):
    path = step / "agent" / name
    text = path.read_text()
    for word in ("np.ndarray", "orbax.checkpoint", "PyTreeCheckpointHandler"):
      forged += text.count(word)
      text = text.replace(word, "burglar.Tool")
    path.write_text(text)

  def fit(body):
    for row in body["files"]:
      content = (step / row["path"]).read_bytes()
      row["sha256"] = digest.data(content)
      row["size_bytes"] = len(content)

  _rewrite(step, fit)
  assert forged >= 2
  try:
    checkpoint_lib.read(step)
  except checkpoint_lib.CorruptError as error:
    refused = str(error)
    assert "agent" in refused
  assert "burglar" not in sys.modules
