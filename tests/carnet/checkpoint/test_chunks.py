"""State made of chunks: it costs what is new, and nothing shared is lost."""

import os
import shutil

import ml_dtypes
import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import chunks, directory, reader, safetensors_dtypes


class Replay:
  """The smallest buffer: a list of chunks and a counter."""

  def __init__(self, capacity=100):
    self.chunks, self.added, self._capacity = [], 0, capacity

  def add(self, *values):
    for value in values:
      arrays = {"image": np.full((4, 8, 8), value, np.uint8)}
      self.chunks.append(checkpoint_lib.Chunk(arrays))
      self.added += 1
    del self.chunks[: -self._capacity]

  def values(self):
    return [int(chunk.arrays["image"][0, 0, 0]) for chunk in self.chunks]

  def state(self):
    return checkpoint_lib.Chunked(self.chunks, {"added": self.added})

  def load_state(self, state):
    self.chunks, self.added = list(state.chunks), state.facts["added"]


def _open(path, keep=None, capacity=100):
  checkpoint = checkpoint_lib.Checkpoint(path, keep, verbose=False)
  checkpoint.register("agent", {"w": np.zeros(3)})
  return checkpoint, checkpoint.register("replay", Replay(capacity))


def _files(path):
  return sorted((path / directory.CHUNKS).glob("*/*"))


def _named(path):
  """Returns the files that the manifests of all steps name."""
  names = set()
  for step in directory.numbered(path):
    found = directory.read_manifest(step)
    names |= {chunks.place(path, chunk.sha256) for chunk in found.chunks}
  return sorted(names)


def test_chunks_and_facts_come_back(tmp_path):
  with _open(tmp_path)[0] as checkpoint:
    pass
  checkpoint, replay = _open(tmp_path)
  replay.add(1, 2, 3)
  checkpoint.save(1)
  checkpoint.close()
  checkpoint, replay = _open(tmp_path)
  assert checkpoint.load_or_save() == 1
  assert replay.values() == [1, 2, 3]
  assert replay.added == 3
  checkpoint.close()
  stored = checkpoint_lib.read(tmp_path, components=["replay"])["replay"]
  assert stored.facts == {"added": 3}
  assert [c.arrays["image"].shape for c in stored.chunks] == [(4, 8, 8)] * 3


def test_only_what_is_new_is_written(tmp_path, monkeypatch):
  written, hashed = [], []
  write, data = chunks._write, chunks.digest.data
  monkeypatch.setattr(
    chunks, "_write", lambda r, p, c: (written.append(p), write(r, p, c))[1]
  )
  monkeypatch.setattr(chunks, "_RECHECKED_BYTES", -(1 << 40))
  monkeypatch.setattr(
    chunks.digest, "data", lambda c: (hashed.append(len(c)), data(c))[1]
  )
  checkpoint, replay = _open(tmp_path)
  replay.add(*range(50))
  checkpoint.save(1)
  checkpoint.wait()
  assert len(written) == 50
  hashed.clear()
  replay.add(50)
  checkpoint.save(2)
  checkpoint.close()
  assert len(written) == 51
  chunk_bytes = written[-1].stat().st_size
  assert sum(size == chunk_bytes for size in hashed) <= 2  # encoded, looked for
  inodes = {path.stat().st_ino for path in _files(tmp_path)}
  assert len(inodes) == 51

  checkpoint, replay = _open(tmp_path)  # a resumed program hashes nothing twice
  checkpoint.load_or_save()
  hashed.clear()
  replay.add(51)
  checkpoint.save(3)
  checkpoint.close()
  assert len(written) == 52
  assert sum(size == chunk_bytes for size in hashed) <= 2


def test_deleting_a_step_deletes_what_nobody_else_names(tmp_path):
  keep = checkpoint_lib.Retention(latest=2)
  checkpoint, replay = _open(tmp_path, keep, capacity=5)
  for step in range(1, 12):
    replay.add(2 * step, 2 * step + 1)
    checkpoint.save(step)
    checkpoint.wait()
    assert _files(tmp_path) == _named(tmp_path)
  assert len(_files(tmp_path)) == 7  # two windows of 5 that are 2 apart
  checkpoint.close()
  assert not any(checkpoint.verify().values())


def test_equal_chunks_are_one_file(tmp_path):
  checkpoint, replay = _open(tmp_path)
  replay.add(7, 7, 8)
  checkpoint.save(1)
  checkpoint.close()
  assert len(_files(tmp_path)) == 2
  assert (
    checkpoint_lib.read(tmp_path)["replay"].chunks[1].arrays["image"][0, 0, 0]
    == 7
  )


def test_leftovers_of_a_killed_save_go_and_signed_steps_keep_theirs(tmp_path):
  checkpoint, replay = _open(tmp_path, checkpoint_lib.Retention(latest=1), 1)
  replay.add(1)
  checkpoint.save(1)
  checkpoint.wait()
  (tmp_path / "000000001" / directory.SIGNOFF).write_text("{}")
  orphan = chunks.place(tmp_path, "a" * 64)
  draft = orphan.with_name(f"{'b' * 64}.safetensors.1.2.writing")
  orphan.parent.mkdir()
  orphan.write_bytes(b"x")
  draft.write_bytes(b"x")
  for step in (2, 3):
    replay.add(step)
    checkpoint.save(step)
  checkpoint.close()
  assert checkpoint.steps() == [1, 3]
  assert _files(tmp_path) == _named(tmp_path)
  assert len(_files(tmp_path)) == 2


@pytest.mark.parametrize("damage", ["manifest flipped", "set aside"])
def test_chunks_of_a_damaged_step_stay(tmp_path, damage):
  checkpoint, replay = _open(tmp_path, checkpoint_lib.Retention(latest=1), 1)
  replay.add(1)
  checkpoint.save(1)
  checkpoint.wait()
  before = _files(tmp_path)
  step = tmp_path / "000000001"
  if damage == "set aside":
    directory.set_aside(step)
  else:
    content = (step / "manifest.json").read_bytes()
    (step / "manifest.json").write_bytes(content.replace(b"step", b"stop", 1))
  replay.add(2)
  checkpoint.save(2)
  checkpoint.close()
  assert len(before) == 1
  assert set(before) < set(_files(tmp_path))


@pytest.mark.parametrize(
  "damage", ["flip", "truncate", "delete", "link", "swap"]
)
def test_damage_is_found_named_and_stepped_back_from(tmp_path, damage):
  checkpoint, replay = _open(tmp_path)
  for step in (1, 2):
    replay.add(step)
    checkpoint.save(step)
  checkpoint.close()
  old, new = (
    chunks.place(tmp_path, row.sha256)
    for row in directory.read_manifest(tmp_path / "000000002").chunks
  )
  if damage == "flip":
    content = bytearray(new.read_bytes())
    content[-1] ^= 1
    new.write_bytes(content)
  elif damage == "truncate":
    os.truncate(new, 10)
  elif damage == "swap":
    shutil.copyfile(old, new)
  else:
    moved = new.rename(tmp_path / "moved")
    if damage == "link":
      new.symlink_to(moved)
  (fault,) = reader.verify(tmp_path / "000000002")
  assert new.name in fault
  assert "of replay" in fault
  assert reader.verify(tmp_path / "000000001") == []
  checkpoint, replay = _open(tmp_path)
  assert checkpoint.load_or_save() == 1
  assert new.name in checkpoint.skipped["000000002"]
  assert replay.values() == [1]
  replay.add(2)  # the damaged file is replaced, not relied on
  checkpoint.save(3)
  checkpoint.close()
  assert reader.verify(tmp_path / "000000003") == []


def test_a_file_that_vanished_is_written_again(tmp_path):
  checkpoint, replay = _open(tmp_path)
  replay.add(1)
  checkpoint.save(1)
  checkpoint.wait()
  _files(tmp_path)[0].unlink()
  checkpoint.save(2)
  checkpoint.close()
  assert reader.verify(tmp_path / "000000002") == []


def test_a_file_that_rots_is_written_again_while_memory_has_it(tmp_path):
  checkpoint, replay = _open(tmp_path)
  replay.add(1, 2, 3)
  checkpoint.save(1)
  checkpoint.wait()
  content = bytearray(_files(tmp_path)[1].read_bytes())
  content[-1] ^= 8
  _files(tmp_path)[1].write_bytes(content)
  assert len(reader.verify(tmp_path / "000000001")) == 1
  checkpoint.save(2)
  checkpoint.close()
  assert checkpoint.verify() == {1: [], 2: []}


def test_a_store_behind_a_link_is_refused_when_saving(tmp_path):
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "run").mkdir()
  (tmp_path / "run/chunks").symlink_to(tmp_path / "elsewhere")
  checkpoint, replay = _open(tmp_path / "run")
  replay.add(1)
  checkpoint.save(1)
  with pytest.raises(checkpoint_lib.SaveError, match="move the whole"):
    checkpoint.close()
  assert checkpoint.steps() == []


def test_a_step_alone_says_what_it_lacks_and_gives_the_rest(tmp_path):
  checkpoint, replay = _open(tmp_path / "run")
  replay.add(1)
  checkpoint.save(1)
  checkpoint.close()
  shutil.copytree(tmp_path / "run/000000001", tmp_path / "shipped")
  assert checkpoint_lib.read(tmp_path / "shipped", ["agent"])["agent"]["w"].size
  with pytest.raises(checkpoint_lib.CorruptError, match="copy the whole"):
    checkpoint_lib.read(tmp_path / "shipped")


def test_another_run_takes_chunks_over_as_its_own(tmp_path):
  checkpoint, replay = _open(tmp_path / "old")
  replay.add(1, 2)
  checkpoint.save(1)
  checkpoint.close()
  checkpoint, replay = _open(tmp_path / "new")
  checkpoint.load(tmp_path / "old", components=["replay"])
  checkpoint.save(0)
  checkpoint.close()
  shutil.rmtree(tmp_path / "old")
  assert not any(checkpoint.verify().values())
  checkpoint, replay = _open(tmp_path / "new")
  checkpoint.load_or_save()
  assert replay.values() == [1, 2]
  checkpoint.close()


def test_equal_arrays_make_equal_files_in_any_order():
  generator = np.random.default_rng(0)
  noise = generator.integers(0, 2, 64, np.uint8).view(np.bool_)
  arrays = {
    "a/b.c": noise,
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(3, np.int64),
    "half": generator.normal(size=(2, 3)).astype(ml_dtypes.bfloat16),
    "eighth": generator.normal(size=4).astype(ml_dtypes.float8_e4m3fn),
    "complex": np.array([1 + 2j], np.complex64),
  }
  chunk = checkpoint_lib.Chunk(arrays)
  again = checkpoint_lib.Chunk(dict(reversed(arrays.items())))
  assert chunk.encode() == again.encode()


def test_stored_dtypes_come_back(tmp_path):
  arrays = {
    str(np.dtype(dtype)): np.arange(3).astype(dtype)
    for dtype in safetensors_dtypes.BY_NAME.values()
  }
  arrays |= {"none": np.zeros((0, 3)), "scalar": np.array(3, np.int8)}
  row = chunks.put(tmp_path, checkpoint_lib.Chunk(arrays), "replay")
  loaded = chunks.load(tmp_path, row).arrays
  assert loaded.keys() == arrays.keys()
  for name, array in arrays.items():
    assert (loaded[name].dtype, loaded[name].shape) == (
      array.dtype,
      array.shape,
    )
    np.testing.assert_array_equal(loaded[name], array)


def test_a_chunk_cannot_be_changed_behind_its_back():
  base = np.zeros((2, 4))
  chunk = checkpoint_lib.Chunk({"view": base[0], "own": base})
  base_is_frozen = not base.flags.writeable
  assert base_is_frozen
  for array in chunk.arrays.values():
    with pytest.raises(ValueError, match="read-only"):
      array[...] = 1
  with pytest.raises(TypeError):
    chunk.arrays["more"] = base
  whole = np.zeros((2, 4))
  chunk = checkpoint_lib.Chunk({"view": whole[0]})
  whole[0] = 5
  assert chunk.arrays["view"].sum() == 0


@pytest.mark.parametrize("dtype", ["complex128", "object", "U3", ">f4"])
def test_what_a_chunk_cannot_hold_is_named(dtype):
  with pytest.raises(errors.UserError, match="array 'x' of a chunk"):
    checkpoint_lib.Chunk({"x": np.zeros(2, dtype)})


def test_forged_names_reach_nothing_outside(tmp_path):
  checkpoint, replay = _open(tmp_path)
  replay.add(1)
  checkpoint.save(1)
  checkpoint.close()
  manifest = tmp_path / "000000001/manifest.json"
  name = _files(tmp_path)[0].name.removesuffix(chunks.SUFFIX)
  lines = manifest.read_bytes().replace(name.encode(), b"../" * 20 + b"etcp")
  body = b"".join(lines.splitlines(keepends=True)[:-2])
  manifest.write_bytes(reader.manifest._seal(body))
  with pytest.raises(checkpoint_lib.CorruptError, match="not a sha256"):
    checkpoint_lib.read(tmp_path / "000000001")
