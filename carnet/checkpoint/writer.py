"""Writing a step, in the background: all of it appears at once, or nothing.

Everything is written below a working name that no reader takes for a step. The
manifest comes last, then one rename makes the directory a step, and only then
do older ones go. A process killed between any two of these leaves the old set
of steps or the new one; its leftovers go at the next save.
"""

import dataclasses
import datetime
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from carnet.checkpoint import (
  components,
  digest,
  directory,
  manifest,
  retention,
  store,
)


@dataclasses.dataclass(frozen=True)
class Job:
  """All that a save needs, captured from the training loop.

  `unsound` are the steps that turned out damaged: retention ignores them.
  """

  root: pathlib.Path
  step: int
  payloads: Mapping[str, components.Arrays | components.Json]
  attachments: Mapping[str, bytes]
  metrics: Mapping[str, float | None]
  lineage: tuple[Mapping[str, Any], ...]
  keep: retention.Retention | None
  unsound: frozenset[int]


def write(job: Job) -> None:
  """Writes the step, then deletes those that retention lets go."""
  directory.sweep(job.root)
  final = job.root / directory.step_name(job.step)
  working = directory.working_name(final, "writing")
  working.mkdir()
  try:
    _fill(working, job)
    directory.publish(working, final)
  except BaseException:
    shutil.rmtree(working, ignore_errors=True)  # the disk may be full
    raise
  if job.keep is not None:
    _prune(job.root, job.keep, job.unsound - {job.step})


def _fill(working: pathlib.Path, job: Job) -> None:
  rows: list[manifest.Leaf] = []
  for name, payload in job.payloads.items():
    if isinstance(payload, components.Json):
      _write_file(working / components.json_file(name), payload.content)
    else:
      rows += _write_arrays(working, name, payload)
  for name, content in job.attachments.items():
    _write_file(working / name, content)
  _write_manifest(working, job, rows)


def _write_arrays(
  working: pathlib.Path, name: str, payload: components.Arrays
) -> list[manifest.Leaf]:
  rows, full = [], {}
  for path, content in payload.contents.items():
    array, spec = content(), payload.specs[path]
    sha256 = digest.leaf(array)
    facts = (path, spec.shape, spec.dtype, array.nbytes, sha256, spec.weak)
    rows.append(manifest.Leaf(*facts))
    if array.size:  # Orbax refuses empty arrays; their row says it all
      full[components.key(name, path)] = array
  if full:
    store.write(working / name, full)
  return rows


def _write_manifest(
  working: pathlib.Path, job: Job, rows: list[manifest.Leaf]
) -> None:
  files = []
  for name in sorted(directory.files(working)):
    path = working / name
    directory.synchronize(path)
    size_bytes = path.stat().st_size
    files.append(manifest.File(name, size_bytes, digest.file(path)))
  now = datetime.datetime.now(datetime.UTC)
  facts = manifest.Manifest(
    step=job.step,
    components={n: payload.kind for n, payload in job.payloads.items()},
    leaves=tuple(sorted(rows, key=lambda row: row.path)),
    files=tuple(files),
    metrics=job.metrics,
    lineage=job.lineage,
    libraries=manifest.library_versions(),
    created_utc=now.isoformat(timespec="seconds"),
  )
  _write_file(working / manifest.NAME, manifest.encode(facts))
  for parent, _, _ in os.walk(working):
    directory.synchronize(pathlib.Path(parent))


def _write_file(path: pathlib.Path, content: bytes) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  with open(path, "wb") as file:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _prune(
  root: pathlib.Path, keep: retention.Retention, unsound: frozenset[int]
) -> None:
  entries = []
  for step, found in directory.complete(root).items():
    if step not in unsound:
      path = root / directory.step_name(step)
      signed = (path / directory.SIGNOFF).exists()
      entries.append(retention.Entry(step, found.metrics, signed))
  kept = keep.kept(entries)
  for entry in entries:
    if entry.step not in kept:
      directory.remove(root / directory.step_name(entry.step))
