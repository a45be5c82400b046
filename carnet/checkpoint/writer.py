"""Writing a step, in the background: all of it appears at once, or nothing.

Everything is written below a working name that no reader takes for a step. The
manifest comes last, then one rename makes the directory a step, and only then
do older ones go. A process killed between any two of these leaves the old set
of steps or the new one; its leftovers go at the next save.

    000012000.77031.writing/          removed when all is done
      step/                           becomes 000012000
      process_1/                      what another process handed in
"""

import concurrent.futures
import contextlib
import dataclasses
import datetime
import itertools
import logging
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from carnet.checkpoint import (
  chunks,
  components,
  digest,
  directory,
  leaves,
  manifest,
  processes,
  pruning,
  retention,
  shares,
  store,
)

_log = logging.getLogger(__name__)
_THREADS = 2  # hash beside the write; the other cores are training's


@dataclasses.dataclass(frozen=True)
class Job:
  """All that a save needs, captured from the training loop.

  `payloads` are by root path; those in `own` are this process's alone.
  `attachments` are the same in all processes, `computed` the leader's.
  `token` is the same in all processes, and no other save's. `unsound` are the
  steps that turned out damaged: retention ignores them.
  """

  root: pathlib.Path
  step: int
  payloads: Mapping[str, components.Payload]
  own: frozenset[str]
  attachments: Mapping[str, bytes]
  computed: Mapping[str, bytes]
  metrics: Mapping[str, float | None]
  lineage: tuple[Mapping[str, Any], ...]
  keep: retention.Retention | None
  unsound: frozenset[int]
  process: processes.Process
  token: int

  @property
  def final(self) -> pathlib.Path:
    """Where the step will be."""
    return self.root / directory.step_name(self.step)

  @property
  def working(self) -> pathlib.Path:
    """Where it is made."""
    return directory.working_name(self.final, "writing", self.token)


@dataclasses.dataclass
class _Rows:
  """The rows of the manifest that come with payloads."""

  components: dict[str, str] = dataclasses.field(default_factory=dict)
  leaves: list[manifest.Leaf] = dataclasses.field(default_factory=list)
  chunks: list[manifest.Chunk] = dataclasses.field(default_factory=list)


def write(job: Job) -> None:
  """Writes the step, then deletes those that retention lets go.

  Of several processes the first does this, with what the others hand in; for
  them it returns when the first is done.
  """
  try:
    if job.process.leads:
      _lead(job)
    else:
      shared = frozenset(job.payloads) - job.own
      shares.hand_in(
        job.working, job.payloads, shared, job.attachments, job.process
      )
      shares.await_leader(job.working, job.final)
  except BaseException as error:
    give_up(job, f"{type(error).__name__}: {error}")
    raise
  if job.process.leads:
    shutil.rmtree(job.working, ignore_errors=True)


def give_up(job: Job, reason: str) -> None:
  """Removes what a failed save wrote, and lets other processes know."""
  if job.process.leads and job.working.exists():
    for path in job.working.iterdir():
      shutil.rmtree(path, ignore_errors=True)  # the disk may be full
  if job.process.alone:
    shutil.rmtree(job.working, ignore_errors=True)
  else:
    with contextlib.suppress(OSError):
      shares.report_failure(job.working, job.process.index, reason)


def _lead(job: Job) -> None:
  directory.sweep(job.root, job.working)
  draft = job.working / "step"
  draft.mkdir(parents=True)
  _fill(draft, job, shares.collect(job.working, job.process.count))
  directory.publish(draft, job.final, known_unsound=job.step in job.unsound)
  try:
    pruning.prune(job.root, job.keep, job.unsound - {job.step})
  except Exception as error:  # the step is there, and that counts
    _log.warning("could not delete old steps of %s: %s", job.root, error)


def _fill(draft: pathlib.Path, job: Job, taken: list[shares.Share]) -> None:
  rows = _Rows()
  shares.check_alike(job.payloads, job.own, job.attachments, taken)
  for root, payload in job.payloads.items():
    name = components.name_of(root)
    rows.components[name] = payload.kind
    if isinstance(payload, components.Arrays):
      arrays = _own_arrays(payload, taken)
      if root in job.own:
        arrays = itertools.chain(arrays, _other_arrays(name, taken))
      rows.leaves += _write_arrays(draft / name, arrays, taken)
    else:
      shares.check_equal(root, digest.data(payload.content), taken)
      _write_file(draft / components.json_file(root), payload.content)
    if isinstance(payload, components.Chunks):
      rows.chunks += chunks.put_all(job.root, payload.chunks, root)
  for share in taken:
    for root, content in share.documents.items():
      if root not in job.payloads:
        _write_file(draft / components.json_file(root), content)
        rows.chunks += share.chunks.get(root, ())
  for name, content in {**job.attachments, **job.computed}.items():
    _write_file(draft / name, content)
  _write_manifest(draft, job, rows)


_Array = tuple[str, leaves.Spec, np.ndarray]


def _own_arrays(
  payload: components.Arrays, taken: list[shares.Share]
) -> Iterator[_Array]:
  for path, content in payload.contents.items():
    if isinstance(content, leaves.Shards):
      content = shares.join(content, path, taken)
    yield path, payload.specs[path], content


def _other_arrays(name: str, taken: list[shares.Share]) -> Iterator[_Array]:
  for share in taken:
    for path, shards in share.shards.items():
      if components.name_of(path) == name:
        yield path, share.specs[path], shards.assemble()


def _write_arrays(
  place: pathlib.Path, arrays: Iterable[_Array], taken: list[shares.Share]
) -> list[manifest.Leaf]:
  found = {
    path: (spec, np.ascontiguousarray(content).reshape(content.shape))
    for path, spec, content in arrays
  }
  # Orbax refuses empty arrays; their row says it all
  full = {components.key(p): array for p, (_, array) in found.items()}
  full = {key: array for key, array in full.items() if array.size}
  rows = []
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    digests = {p: pool.submit(digest.leaf, x) for p, (_, x) in found.items()}
    if full:
      store.write(place, full)
    for path, (spec, array) in found.items():
      sha256 = digests[path].result()
      shares.check_equal(path, sha256, taken)
      facts = (path, spec.shape, spec.dtype, array.nbytes, sha256, spec.weak)
      rows.append(manifest.Leaf(*facts))
  return rows


def _write_manifest(draft: pathlib.Path, job: Job, rows: _Rows) -> None:
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    names = sorted(directory.files(draft))
    files = pool.map(lambda name: _synchronized(draft, name), names)
  now = datetime.datetime.now(datetime.UTC)
  own = {components.name_of(root) for root in job.own}
  facts = manifest.Manifest(
    step=job.step,
    components=rows.components,
    leaves=tuple(sorted(rows.leaves, key=lambda row: row.path)),
    files=tuple(files),
    metrics=job.metrics,
    lineage=job.lineage,
    libraries=manifest.library_versions(),
    created_utc=now.isoformat(timespec="seconds"),
    chunks=tuple(rows.chunks),
    processes=dict.fromkeys(sorted(own), job.process.count),
  )
  _write_file(draft / manifest.NAME, manifest.encode(facts))
  for parent, _, _ in os.walk(draft):
    directory.synchronize(pathlib.Path(parent))


def _synchronized(draft: pathlib.Path, name: str) -> manifest.File:
  path = draft / name
  directory.synchronize(path)
  return manifest.File(name, path.stat().st_size, digest.file(path))


def _write_file(path: pathlib.Path, content: bytes) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  with open(path, "wb") as file:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
