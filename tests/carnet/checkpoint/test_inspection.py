"""What is read off manifests: counted by hand on steps written by hand."""

import pathlib
import shutil

import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import (
  chunks,
  comparison,
  digest,
  inspection,
  listing,
  manifest,
  tree,
)

VERSIONS = {"python": "3.11.7", "jax": "0.10.2"}


def _write(
  root, step, leaves=(), files=(), kinds=None, stored=(), metrics=None, **facts
):
  """Writes a step without arrays: what its manifest says is all that counts."""
  place = root / f"{step:09d}"
  place.mkdir(parents=True)
  rows = []
  for name, content in dict(files).items():
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(content)
    rows.append(manifest.File(name, len(content), digest.data(content)))
  chunk_rows = []
  for component, content in stored:
    row = manifest.Chunk(component, digest.data(content), len(content))
    file = chunks.place(root, row.sha256)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    chunk_rows.append(row)
  found = manifest.Manifest(
    step=step,
    components=kinds or {},
    leaves=tuple(leaves),
    files=tuple(rows),
    metrics=metrics or {},
    lineage=(),
    libraries=VERSIONS,
    created_utc="2026-11-21T09:00:00+00:00",
    chunks=tuple(chunk_rows),
    **facts,
  )
  (place / manifest.NAME).write_bytes(manifest.encode(found))
  return place


def _leaf(path, shape=(2, 3), dtype="float32", content=0):
  size_bytes = 4 * int(np.prod(shape))
  sha256 = digest.data(f"{shape}{dtype}{content}".encode())
  return manifest.Leaf(path, shape, dtype, size_bytes, sha256)


KINDS = {"agent": "arrays", "data": "json", "replay": "chunks"}


@pytest.fixture
def workdir(tmp_path):
  """Two steps that share a chunk of 30 bytes and have one of 7 each."""
  for step in (1, 2):
    own = str(step).encode() * 7
    _write(
      tmp_path / "checkpoints",
      step,
      [_leaf("agent/w", content=step), _leaf("agent/b", (3,))],
      {
        "agent/blob": b"x" * 10,
        "data/state.json": b'{"next_index": %d}' % step,
        "replay/state.json": b"{}",
        "config.json": b'{"seed": 1}',
      },
      KINDS,
      [("replay", b"c" * 30), ("replay", own)],
      {"score": step / 4},
    )
  return tmp_path


def test_a_listing_counts_files_chunks_and_leaves(workdir):
  (workdir / "checkpoints/000000002/SIGNOFF.json").write_bytes(b"{}")
  (workdir / "checkpoints/notes.txt").write_bytes(b"12345")
  (workdir / "checkpoints/.lock").touch()
  found = listing.make(workdir)
  assert found == listing.make(workdir / "checkpoints")
  assert found.directory == str(workdir / "checkpoints")
  assert found.others == {"notes.txt": 5}
  first, second = found.steps
  own = (workdir / "checkpoints/000000001/manifest.json").stat().st_size
  assert first.size_bytes == 10 + 17 + 2 + 11 + own
  assert (first.step, first.leaves, first.fault) == (1, 2, "")
  assert (first.shared_chunk_bytes, first.own_chunk_bytes) == (30, 7)
  assert first.metrics == {"score": 0.25}
  assert (first.signed, second.signed) == (False, True)


@pytest.mark.parametrize(
  ("damage", "reason"),
  [
    (lambda p: (p / "config.json").unlink(), "config.json is unreadable: No"),
    (lambda p: (p / "config.json").write_bytes(b"1"), "has 1 bytes of 11"),
    (lambda p: (p / "manifest.json").unlink(), "manifest.json is unreadable"),
    (lambda p: (p / "manifest.json").write_bytes(b"{}"), "altered or cut off"),
    (lambda p: shutil.rmtree(p / "data") or shutil.rmtree(p / "replay"), "and"),
    (lambda p: shutil.rmtree(p) or p.touch(), "Not a directory"),
    (lambda p: shutil.rmtree(p) or p.mkdir(), "No such file"),
    (lambda p: shutil.rmtree(p.parent / "chunks"), "chunks/"),
  ],
)
def test_a_damaged_step_is_listed_with_the_reason(workdir, damage, reason):
  damage(workdir / "checkpoints/000000001")
  steps = listing.make(workdir).steps
  assert [step.step for step in steps] == [1, 2]
  assert reason in steps[0].fault


def test_contents_are_split_by_component(workdir):
  found = inspection.contents(workdir)
  assert (found.step, found.size_bytes) == (2, 40)
  assert [(c.kind, c.size_bytes, c.leaves, c.chunks) for c in found.components]
  sizes = {part.name: part.size_bytes for part in found.components}
  assert sizes == {"agent": 36, "data": 17, "replay": 39}
  assert [part.chunks for part in found.components] == [0, 0, 2]
  assert [file.path for file in found.attached] == ["config.json"]
  assert found.libraries == VERSIONS


def test_paths_that_mean_no_step(tmp_path, workdir):
  model = tmp_path / "model.safetensors"
  model.write_bytes(b"12345678")
  for path in (tmp_path / "absent", model, pathlib.Path("/dev/null")):
    for read in (listing.make, inspection.contents, inspection.targets):
      with pytest.raises(errors.UserError, match="no checkpoint at"):
        read(path)
  with pytest.raises(errors.UserError, match="is one step"):
    listing.make(workdir / "checkpoints/000000001")


def test_targets_include_damaged_steps(workdir):
  one, two = inspection.targets(workdir)
  (one / manifest.NAME).unlink()
  assert inspection.targets(one) == [one]
  assert inspection.targets(workdir) == [one, two]


def test_equal_steps(workdir):
  found = comparison.compare(workdir, workdir / "checkpoints/000000002")
  assert found.equal
  assert {row.status for row in found.leaves} == {comparison.EQUAL}
  assert found.chunks == (comparison.Chunks("replay", 2, 0, 0, 37, 0, 0),)
  assert found.values == found.metrics == ()


def test_every_kind_of_difference(tmp_path):
  kinds = {"agent": "arrays", "data": "json"}
  a = _write(
    tmp_path / "a",
    1,
    [
      _leaf("agent/dtype"),
      _leaf("agent/same"),
      _leaf("agent/shape"),
      _leaf("agent/value"),
      _leaf("agent/zero", (4,)),
    ],
    {"data/state.json": b'{"epoch": 1, "seed": 0}', "agent/d/0": b"1"},
    kinds,
    metrics={"loss": 0.5, "score": 1},
  )
  b = _write(
    tmp_path / "b",
    1,
    [
      _leaf("agent/dtype", dtype="int32"),
      _leaf("agent/new", (5,)),
      _leaf("agent/same"),
      _leaf("agent/shape", (3, 2, 2)),
      _leaf("agent/value", content=1),
    ],
    {"data/state.json": b'{"epoch": 1.0, "seed": 0}', "stats.json": b"not"},
    kinds,
    metrics={"loss": 0.25, "score": 1},
  )
  found = comparison.compare(a, b)
  assert not found.equal
  assert {r.path: (r.status, r.bytes_a, r.bytes_b) for r in found.leaves} == {
    "agent/dtype": (comparison.CHANGED, 24, 24),
    "agent/new": (comparison.ONLY_B, 0, 20),
    "agent/same": (comparison.EQUAL, 24, 24),
    "agent/shape": (comparison.CHANGED, 24, 48),
    "agent/value": (comparison.DIFFERS, 24, 24),
    "agent/zero": (comparison.ONLY_A, 16, 0),
  }
  assert {r.path: r.status for r in found.files} == {
    "data/state.json": comparison.DIFFERS,
    "stats.json": comparison.ONLY_B,
  }
  changes = [(c.path, c.a, c.b) for c in found.values]
  assert changes == [("data/state.json/epoch", 1, 1.0)]
  assert found.metrics == (comparison.Change("loss", 0.5, 0.25),)


@pytest.mark.parametrize("part", ["leaf", "file", "chunk", "metric"])
def test_one_difference_of_any_kind_is_a_difference(tmp_path, part):
  for name, number in (("a", 0), ("b", 1)):
    at = {part: number}
    _write(
      tmp_path / name,
      1,
      [_leaf("agent/w", content=at.get("leaf", 0))],
      {"replay/state.json": b"%d" % at.get("file", 0)},
      {"agent": "arrays", "replay": "chunks"},
      [("replay", b"%d" % at.get("chunk", 0))],
      {"score": float(at.get("metric", 0))},
    )
  assert not comparison.compare(tmp_path / "a", tmp_path / "b").equal


def test_what_only_looks_like_json_is_compared_by_digest(tmp_path):
  deep = b"[" * 10**5
  a = _write(tmp_path / "a", 1, files={"x.json": b"{", "y.json": deep})
  b = _write(tmp_path / "b", 1, files={"x.json": b"{}", "y.json": b"[]"})
  (b / "y.json").unlink()
  (b / "y.json").symlink_to("/dev/zero")
  found = comparison.compare(a, b)
  assert [row.status for row in found.files] == [comparison.DIFFERS] * 2
  assert found.values == ()


def test_the_largest_difference_of_values(tmp_path):
  nan, inf = float("nan"), float("inf")
  pairs = {
    "far": ([1.0, -2.0, 3.0], [1.5, -4.0, 3.0], 2.0),
    "nan": ([nan, 1.0, inf], [nan, 1.5, inf], 0.5),
    "lost": ([0.0, 1.0], [nan, 1.0], nan),
    "zero": ([0.0], [-0.0], 0.0),
  }
  for index, name in enumerate("ab"):
    with checkpoint_lib.Checkpoint(tmp_path / name, verbose=False) as saved:
      state = {key: np.array(pair[index]) for key, pair in pairs.items()}
      state |= {"int": np.array([index]), "same": np.ones(2)}
      state |= {"complex": np.array([1 + index * 3j + index * 4])}
      saved.register("agent", state)
      saved.save(1)
  found = comparison.compare(tmp_path / "a", tmp_path / "b")
  assert all(row.max_abs_difference is None for row in found.leaves)
  found = comparison.with_values(found)
  largest = {row.path: row.max_abs_difference for row in found.leaves}
  for key, (_, _, expected) in pairs.items():
    assert largest[f"agent/{key}"] == pytest.approx(expected, nan_ok=True)
  assert largest["agent/complex"] == 5.0
  assert largest["agent/int"] is largest["agent/same"] is None


def _drawn(paths, rows, tmp_path):
  leaves = [_leaf(path) for path in paths]
  place = _write(tmp_path, 1, leaves, kinds={"agent": "arrays"})
  return tree.draw(inspection.contents(place), rows)


def test_a_tree_that_fits_is_shown_whole(tmp_path):
  paths = ["agent/a/w", "agent/a/b", "agent/c"]
  drawn = _drawn(paths, None, tmp_path)
  assert [(row.depth, row.name, row.size_bytes) for row in drawn] == [
    (0, "agent", 72),
    (1, "a", 48),
    (2, "w", 24),
    (2, "b", 24),
    (1, "c", 24),
  ]
  assert not any(row.folded for row in drawn)


@pytest.mark.parametrize(
  "paths",
  [
    [f"agent/{i}" for i in range(10_000)],
    [f"agent/block_{i}/w/{j}" for i in range(100) for j in range(100)],
    ["agent/" + "down/" * depth + "w" for depth in (0, 20, 2000)],
  ],
  ids=["flat", "blocks", "deep"],
)
def test_a_folded_tree_is_short_and_counts_every_leaf(paths, tmp_path):
  drawn = _drawn(paths, 40, tmp_path)
  assert len(drawn) <= 45
  leaves = sum(row.shape is not None for row in drawn)
  folded = sum(
    int(row.summary.split()[0].replace(",", "")) for row in drawn if row.folded
  )
  assert leaves + folded == len(paths)
  assert drawn[0].size_bytes == 24 * len(paths)
