"""Which steps stay: a table worked out by hand."""

import concurrent.futures
import json
import math
import shutil
import threading

import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import (
  directory,
  integrity,
  manifest,
  pruning,
  reader,
  retention,
  store,
)

# Success rates of steps 2, 4, ... 18; 4 is best, 6 and 10 are next and equal.
SCORES = dict(
  zip(
    range(2, 20, 2), (1.0, 9.0, 5.0, 2.0, 5.0, None, 3.0, 4.0, 0.0), strict=True
  )
)


def _entries(signed=()):
  return [
    retention.Entry(step, {"score": score}, step in signed)
    for step, score in SCORES.items()
  ]


@pytest.mark.parametrize(
  ("options", "kept"),
  [
    ({}, {18}),
    ({"latest": 3}, {14, 16, 18}),
    ({"best": 1, "metric": "score"}, {4, 18}),
    ({"best": 2, "metric": "score"}, {4, 10, 18}),
    ({"best": 3, "metric": "score"}, {4, 6, 10, 18}),
    ({"best": 1, "metric": "score", "higher_is_better": False}, {18}),
    ({"best": 2, "metric": "score", "higher_is_better": False}, {2, 18}),
    ({"best": 99, "metric": "score"}, set(SCORES) - {12}),
    ({"best": 1, "metric": "other"}, {18}),
    ({"every_steps": 6}, {6, 12, 18}),
    (
      {"latest": 2, "best": 1, "metric": "score", "every_steps": 10},
      {4, 10, 16, 18},
    ),
    ({"latest": 99}, set(SCORES)),
  ],
)
def test_table(options, kept):
  assert retention.Retention(**options).kept(_entries()) == kept


def test_signed_steps_stay():
  assert retention.Retention().kept(_entries(signed=[2, 8])) == {2, 8, 18}


def test_the_first_step_is_no_multiple():
  entries = [retention.Entry(step, {}) for step in (0, 5, 10, 15)]
  kept = retention.Retention(every_steps=10).kept(entries)
  assert kept == {10, 15}


def test_not_a_number_is_never_best():
  for value in (math.nan, math.inf, -math.inf):
    assert manifest.finite_metrics({"score": value}) == {"score": None}
  with pytest.raises(errors.UserError, match="metric 'score'"):
    manifest.finite_metrics({"score": "high"})


@pytest.mark.parametrize(
  "options",
  [{"latest": 0}, {"best": -1}, {"every_steps": -1}, {"best": 1}],
)
def test_rules_that_make_no_sense_are_refused(options):
  with pytest.raises(errors.UserError):
    retention.Retention(**options)


def test_steps_leave_the_disk_and_signed_ones_stay(tmp_path):
  keep = checkpoint_lib.Retention(latest=2, best=1, metric="score")
  with checkpoint_lib.Checkpoint(tmp_path, keep) as checkpoint:
    step = checkpoint.register("step", 0)
    for number, score in {2: 1.0, 4: 9.0, 6: 2.0, 8: 3.0, 10: 4.0}.items():
      step.value = number
      checkpoint.save(number, {"score": score})
      checkpoint.wait()
      if number == 2:
        (tmp_path / "000000002/SIGNOFF.json").write_text("{}")
  assert checkpoint.steps() == [2, 4, 8, 10]
  names = sorted(path.name for path in tmp_path.iterdir())
  assert names == [".lock", *(f"{n:09d}" for n in (2, 4, 8, 10))]


class _Replay:
  """One chunk, of the number that was put in last."""

  def __init__(self):
    self.number = 0

  def state(self):
    chunk = checkpoint_lib.Chunk({"x": np.full(9, self.number)})
    return checkpoint_lib.Chunked([chunk], {})

  def load_state(self, state):
    self.number = int(state.chunks[0].arrays["x"][0])


def _save(path, *steps, keep=None):
  with checkpoint_lib.Checkpoint(path, keep, verbose=False) as checkpoint:
    agent = checkpoint.register("agent", {"w": np.zeros(3)})
    replay = checkpoint.register("replay", _Replay())
    for step in steps:
      agent.value, replay.number = {"w": np.full(3, float(step))}, step
      checkpoint.attach("config.json", {"seed": step})
      checkpoint.save(step)
  return checkpoint


def _move_on(monkeypatch, path, module, name, after=False):
  """Lets step 2 appear and step 1 go, when a function is called first."""
  (path / "000000002").rename(path / "later")
  real = getattr(module, name)

  def wrapper(*args, **options):
    result = real(*args, **options) if after else None
    if (path / "later").exists():
      (path / "later").rename(path / "000000002")
      directory.remove(path / "000000001")
    return result if after else real(*args, **options)

  monkeypatch.setattr(module, name, wrapper)


READS = {
  "read": lambda path: checkpoint_lib.read(path, ["agent"])["agent"]["w"][0],
  "json": lambda path: checkpoint_lib.read_json(path, "config.json")["seed"],
  "manifest": lambda path: checkpoint_lib.read_manifest(path).step,
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
  ("read", "module", "name"),
  [
    ("read", manifest, "decode"),
    ("read", reader, "contents"),
    ("read", integrity, "file_fault"),
    ("read", store, "open_arrays"),
    ("json", manifest, "decode"),
    ("json", integrity, "file_fault"),
    ("manifest", directory, "resolve"),
  ],
)
def test_who_reads_the_newest_gets_one(
  tmp_path, monkeypatch, capfd, read, module, name, after
):
  """Retention deletes the step that was chosen, at any moment of the read."""
  _save(tmp_path, 1, 2)
  _move_on(monkeypatch, tmp_path, module, name, after)
  assert READS[read](tmp_path) in (1, 2)
  assert not (tmp_path / "later").exists()
  assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("read", ["read", "json"])
def test_a_step_that_was_named_is_never_exchanged(tmp_path, monkeypatch, read):
  _save(tmp_path, 1, 2)
  _move_on(monkeypatch, tmp_path, manifest, "decode", after=True)
  with pytest.raises(checkpoint_lib.CorruptError, match="000000001"):
    READS[read](tmp_path / "000000001")
  assert READS[read](tmp_path) == 2


def test_a_reader_beside_a_writer_that_deletes(tmp_path):
  seen, done = set(), threading.Event()

  def read():
    while not done.is_set():
      found = checkpoint_lib.read(tmp_path)
      assert found["agent"]["w"][0] == found["replay"].chunks[0].arrays["x"][0]
      seen.add(int(found["agent"]["w"][0]))
      assert not any(reader.verify_steps(tmp_path).values())

  _save(tmp_path, 1)
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    reading = pool.submit(read)
    _save(tmp_path, *range(2, 30), keep=retention.Retention(latest=1))
    done.set()
    reading.result()
  assert len(seen) > 1


def test_all_steps_may_change_while_they_are_listed(tmp_path, monkeypatch):
  _save(tmp_path, 1, 2)
  _move_on(monkeypatch, tmp_path, directory, "read_manifest")
  assert list(directory.complete(tmp_path)) == [2]


def test_verify_leaves_out_what_was_deleted(tmp_path, monkeypatch):
  _save(tmp_path, 1, 2, 3)
  (tmp_path / "000000003/config.json").unlink()
  _move_on(monkeypatch, tmp_path, integrity, "file_fault")
  found = reader.verify_steps(tmp_path)
  assert list(found) == [3]
  assert "config.json" in " ".join(found[3])


def _newer_format(step):
  path = step / manifest.NAME
  body = json.loads(path.read_bytes()) | {"format_version": 2}
  body["chunks"] = "in another place"
  del body["sha256"]
  path.write_bytes(manifest.seal(body))


def test_a_step_of_a_newer_format_stays_with_all_chunks(tmp_path, caplog):
  checkpoint = _save(tmp_path, 1, 2, 3, 4)
  before = sorted((tmp_path / directory.CHUNKS).glob("*/*"))
  assert len(before) == 4
  _newer_format(tmp_path / "000000002")
  _newer_format(tmp_path / "000000004")
  assert checkpoint.steps() == checkpoint.steps() == [1, 3]
  assert caplog.text.count("000000002/manifest.json has format version 2") == 1
  assert checkpoint_lib.read(tmp_path, ["agent"])["agent"]["w"][0] == 3
  found = reader.verify_steps(tmp_path)
  assert [bool(faulty) for faulty in found.values()] == [0, 1, 0, 1]
  assert "format version 2" in found[4][0]
  for read in READS.values():
    with pytest.raises(errors.UserError, match="format version 2") as caught:
      read(tmp_path / "000000004")
    assert not isinstance(caught.value, checkpoint_lib.CorruptError)
  keep = retention.Retention(latest=1)
  done = pruning.prune(tmp_path, keep)
  assert done.steps == (1,)
  assert done.chunks == ()
  assert sorted((tmp_path / directory.CHUNKS).glob("*/*")) == before
  assert (tmp_path / "000000002").exists()
  assert (tmp_path / "000000004").exists()


def test_a_step_of_a_newer_format_is_not_replaced(tmp_path):
  _save(tmp_path, 1)
  _newer_format(tmp_path / "000000001")
  before = sorted(tmp_path.iterdir())
  with pytest.raises(errors.UserError, match="format version 2"):
    _save(tmp_path, 1)
  assert sorted(tmp_path.iterdir()) == before


def test_only_chunks_are_deleted_as_chunks(tmp_path):
  _save(tmp_path, 1)
  store_of = tmp_path / directory.CHUNKS
  ours = store_of / "aa" / f"{'a' * 64}.safetensors"
  draft = ours.with_name(f"{ours.name}.12.345.writing")
  ours.parent.mkdir()
  theirs = [
    ours.with_name("notes.txt"),
    ours.with_name("weights.safetensors"),
    ours.with_name(f"{'a' * 64}.npz"),
    ours.with_name(f"{'a' * 64}.safetensors.bak"),
    store_of / "README",
  ]
  for path in (ours, draft, *theirs):
    path.write_bytes(b"x")
  (ours.parent / f"{'aa' + 'c' * 62}.safetensors").mkdir()
  outside = tmp_path / "outside"
  shutil.copytree(ours.parent, outside)
  outside_one = outside / f"{'dd' + 'd' * 62}.safetensors"
  outside_one.write_bytes(b"x")
  (store_of / "dd").symlink_to(outside)
  done = pruning.prune(tmp_path, None)
  assert done.chunks == ("a" * 64, draft.name)
  assert not ours.exists()
  assert not draft.exists()
  assert all(path.exists() for path in [*theirs, outside_one])
