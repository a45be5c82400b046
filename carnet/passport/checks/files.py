"""The files: all there, unchanged, none besides, and none that executes."""

import collections

from carnet.passport import context as context_lib
from carnet.passport import (
  history,
  issuing,
  names,
  needed_files,
  outcome,
  pickles,
  shown,
  stored_leaves,
)
from carnet.passport.static import files as static_files

_LISTED = "/weight_integrity/weight_files"
_ANEW = "copy the checkpoint again; if the change is meant: generate-passport"
_LIST = "generate-passport lists what belongs to the checkpoint"


def weight_sizes(found: context_lib.Context) -> outcome.Finding:
  """Pass: every listed file is there with its size. Fail: else."""
  sizes = {
    entry.path: entry.size_bytes
    for entry in found.entries
    if entry.kind == "file"
  }
  faults = []
  rows = _rows(found)
  for index, row in enumerate(rows):
    size = sizes.get(row.path)
    if size != row.size_bytes:
      there = "is not there" if size is None else f"has {size} bytes"
      evidence = f"{_name(row)} {there}, listed with {row.size_bytes}"
      where = f"{_LISTED}/{index}/size_bytes"
      faults.append(
        outcome.failed(evidence, where, row.size_bytes, size, _ANEW)
      )
  total = sum(row.size_bytes for row in rows)
  return outcome.first(faults, f"{len(rows)} files, {total} bytes")


def weight_hashes(found: context_lib.Context) -> outcome.Finding:
  """Pass: every listed file has its sha256. Fail: else; bits flip unseen."""
  faults = []
  rows = _rows(found)
  for index, row in enumerate(rows):
    sha256 = found.digests.get(row.path, "no plain file")
    if sha256 != row.sha256:
      evidence = f"{_name(row)} differs from its sha256"
      where = f"{_LISTED}/{index}/sha256"
      faults.append(outcome.failed(evidence, where, row.sha256, sha256, _ANEW))
  return outcome.first(faults, f"sha256 of {len(rows)} files")


def weight_files_complete(found: context_lib.Context) -> outcome.Finding:
  """Pass: all that the policy needs is listed. Fail: something is not.

  That is the configuration, statistics, the manifest and its files, metadata
  and index of each Orbax item, reference data and the log.
  """
  listed = {row.path for row in _rows(found)}
  needed = dict(needed_files.named(found))
  faults = [
    outcome.failed(
      f"{shown.cut(name)} is {what}, and is not listed",
      _LISTED,
      remedy=_LIST,
    )
    for name, what in needed.items()
    if name not in listed
  ]
  if not any(row.role == "weights" for row in _rows(found)):
    faults.append(
      outcome.failed("no file has the role 'weights'", _LISTED, remedy=_LIST)
    )
  return outcome.first(faults, f"{len(needed)} needed files are listed")


def file_roles(found: context_lib.Context) -> outcome.Finding:
  """Pass: each file has the role that its place gives it. Fail: another.

  Not checked: not everything is a plain file with a sound name.
  """
  there = [entry.path for entry in found.entries]
  plain = all(entry.kind == "file" for entry in found.entries)
  if not plain or any(names.faults(there)):
    return outcome.not_checked("not everything is a file with a sound name")
  described = stored_leaves.described(found)
  rows = static_files.files(found, described.roles, described.needed)
  roles = {row.path: row.role for row in rows}
  faults = []
  for index, row in enumerate(_rows(found)):
    expected = roles.get(row.path, row.role)
    if row.role != expected:
      evidence = f"{_name(row)} is listed as {row.role}, and is {expected}"
      where = f"{_LISTED}/{index}/role"
      faults.append(outcome.failed(evidence, where, expected, row.role, _LIST))
  return outcome.first(faults, f"roles of {len(_rows(found))} files")


def unlisted_files(found: context_lib.Context) -> outcome.Finding:
  """Pass: no file is there that the passport does not list. Fail: one is.

  The passport, the sign-off and its signature cannot be listed.
  """
  known = {row.path for row in _rows(found)}.union(context_lib.PAPERS)
  faults = [
    _unlisted(entry.path)
    for entry in found.entries
    if entry.kind == "file" and entry.path not in known
  ]
  count = sum(entry.kind == "file" for entry in found.entries)
  return outcome.first(faults, f"{count} files, all known")


def no_symlinks(found: context_lib.Context) -> outcome.Finding:
  """Pass: there is no link. Fail: one is; it may lead out, or change later."""
  faults = [
    outcome.failed(
      f"{shown.cut(entry.path)} is a link",
      shown.cut(entry.path),
      "a plain file",
      "a link",
      "copy what it stands for in its place (cp -rL)",
    )
    for entry in found.entries
    if entry.kind == "link"
  ]
  return outcome.first(faults, f"no link among {len(found.entries)} entries")


def paths_safe(found: context_lib.Context) -> outcome.Finding:
  """Pass: plain files whose names mean the same everywhere. Fail: else.

  Devices, pipes and sockets; names that are not printable, have a backslash
  or differ in case alone; a file listed twice.
  """
  there = [entry.path for entry in found.entries]
  listed = [row.path for row in _rows(found)]
  faults = [
    outcome.failed(evidence, name, remedy="rename it")
    for name, evidence in names.faults([*there, *listed])
  ]
  for entry in found.entries:
    if entry.kind == "other":
      name = shown.cut(entry.path)
      evidence = f"{name} is a device, a pipe, or cannot be read"
      faults.append(outcome.failed(evidence, name, remedy="remove it"))
  for name, count in collections.Counter(listed).items():
    if count > 1:
      evidence = f"{shown.cut(name)} is listed {count} times"
      faults.append(outcome.failed(evidence, _LISTED, remedy=_LIST))
  return outcome.first(faults, f"{len(there)} names")


def no_pickle_files(found: context_lib.Context) -> outcome.Finding:
  """Pass: nothing that is read by executing it. Fail: a pickle, or a disguise.

  Names such as .pkl and .pt; arrays of objects; in files not listed as
  weights also the first bytes of a pickle.
  """
  weights = {row.path for row in _rows(found) if row.role == "weights"}
  faults = []
  for entry in found.entries:
    if entry.kind != "file":
      continue
    place = found.path / entry.path
    try:
      fault = pickles.fault(place, sniffed=entry.path not in weights)
    except OSError as error:
      fault = f"is unreadable: {error.strerror}"
    if fault:
      evidence = f"{shown.cut(entry.path)} {fault}"
      remedy = "convert it to .npy, .json or .safetensors, and remove it"
      faults.append(
        outcome.failed(evidence, shown.cut(entry.path), remedy=remedy)
      )
  return outcome.first(faults, f"{len(found.entries)} files, no pickle")


CHECKS = outcome.group(
  "files",
  hard=(
    weight_sizes,
    weight_hashes,
    weight_files_complete,
    file_roles,
    unlisted_files,
    no_symlinks,
    paths_safe,
    no_pickle_files,
  ),
)


def _unlisted(path: str) -> outcome.Finding:
  name = shown.cut(path)
  if issuing.is_leftover(path):
    return outcome.failed(
      f"{name} was left by a killed generate-passport or sign-checkpoint",
      name,
      remedy="remove it; either of the two does so when it is run again",
    )
  return outcome.failed(
    f"{name} is not listed",
    name,
    remedy="move it out of the checkpoint, or generate-passport anew",
  )


def _rows(found: context_lib.Context) -> tuple[history.File, ...]:
  return found.passport.weight_integrity.weight_files


def _name(row: history.File) -> str:
  return shown.cut(row.path)
