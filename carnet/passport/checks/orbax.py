"""The arrays as they are declared: names, shapes, bytes; none is read."""

import collections
from collections.abc import Iterable, Iterator, Mapping

from carnet.checkpoint import manifest
from carnet.passport import (
  byte_budget,
  history,
  model,
  orbax_metadata,
  outcome,
  shown,
  stored_leaves,
)
from carnet.passport import context as context_lib
from carnet.passport.checks import sound

_FORMAT = "/weight_integrity/checkpoint_format"
_STATE = "/model_internals/state_dict"
_RENAME = "rename the leaves and save again"
_ANEW = "generate-passport"


def manifest_sound(found: context_lib.Context) -> outcome.Finding:
  """Pass: sealed, of this step, and its files are those of the passport.

  Fail: altered, of another step, missing, or there though the format says
  that another program wrote the checkpoint. Not checked: one did.
  """
  told = found.passport.weight_integrity.checkpoint_format
  if (told.kind == "carnet") != (found.manifest is not None):
    there = "there" if found.manifest else "not there"
    return outcome.failed(
      f"the format is {told.kind}, and {manifest.NAME} is {there}",
      f"{_FORMAT}/kind",
      remedy="copy the checkpoint again",
    )
  if found.manifest is None:
    return outcome.not_checked("another program wrote the checkpoint")
  faults = list(_file_faults(found))
  if told.step != found.manifest.step:
    where, step = f"{_FORMAT}/step", found.manifest.step
    faults.append(outcome.failed("another step", where, told.step, step, _ANEW))
  count = len(found.manifest.files)
  return outcome.first(faults, f"step {told.step}, {count} files")


def orbax_metadata_safe(found: context_lib.Context) -> outcome.Finding:
  """Pass: names lead nowhere, and reading takes the memory that is declared.

  Fail: keys of other characters than letters, digits and _~+-, too deep, of
  unknown types; arrays outside of OCDBT, which absolute keys would lead out
  of the checkpoint; more bytes than the files can hold.
  """
  told = found.passport.weight_integrity.checkpoint_format
  items = orbax_metadata.read(found)
  faults = [
    outcome.failed(fault, f"{item.place}_METADATA", remedy=_RENAME)
    for item in items
    for fault in item.faults
  ]
  faults += _layout_faults(told, items)
  faults += [
    outcome.failed(fault, f"{_FORMAT}/declared_array_bytes", remedy=_ANEW)
    for fault in byte_budget.faults(found)
  ]
  count = sum(len(item.leaves) for item in items)
  evidence = f"{count} arrays, {told.declared_array_bytes} bytes"
  return outcome.first(faults, evidence)


@sound.needed
def key_collision(found: context_lib.Context) -> outcome.Finding:
  """Pass: no two leaves are one when keys are joined. Fail: two are.

  Orbax joins keys with dots and keeps one of the two, which one is chance.
  """
  names = {manifest.NAME: [leaf.path for leaf in stored_leaves.held(found)]}
  for item in orbax_metadata.read(found):
    where = f"{item.place}_METADATA"
    names[f"{where} (by dots)"] = [leaf.joined for leaf in item.leaves]
    names[where] = [leaf.name for leaf in item.leaves]
  faults = [
    outcome.failed(
      f"{shown.cut(name)} {fault}", shown.cut(where), remedy=_RENAME
    )
    for where, listed in names.items()
    for name, fault in _collisions(listed)
  ]
  return outcome.first(faults, "all joined names differ")


@sound.needed
def key_counts(found: context_lib.Context) -> outcome.Finding:
  """Pass: as many leaves as the model's code expects, and as are stored.

  Fail: leaves are missing, unexpected, or of another shape or dtype. Not
  checked: the passport does not tell.
  """
  told = found.passport.model_internals.state_dict
  if told is None:
    return sound.absent(found, "state_dict")
  faults = [
    outcome.failed(
      f"{len(names)} leaves are {what}: {sound.examples(names)}",
      f"{_STATE}/{field}",
      remedy="load it with the code and configuration that trained it",
    )
    for field, what, names in _of_state(told)
    if names
  ]
  faults += _count_faults(found, told)
  evidence = f"{told.found_keys_count} of {told.expected_keys_count} leaves"
  return outcome.first(faults, evidence)


@sound.needed
def tree_shapes_dtypes(found: context_lib.Context) -> outcome.Finding:
  """Pass: passport, manifest and Orbax's metadata name the same arrays.

  Fail: one is missing, there are more, or a shape or dtype differs.
  """
  faults = [*_place_faults(found), *_buffer_faults(found)]
  if found.manifest:
    for item in orbax_metadata.read(found):
      faults += _item_faults(item, stored_leaves.of_item(found, item))
  names = stored_leaves.names(found)
  return outcome.first(
    (outcome.failed(fault, remedy=_ANEW) for fault in faults),
    f"{len(names)} arrays",
  )


CHECKS = outcome.group(
  "orbax",
  hard=(
    manifest_sound,
    orbax_metadata_safe,
    key_collision,
    key_counts,
    tree_shapes_dtypes,
  ),
)


def _file_faults(found: context_lib.Context) -> Iterator[outcome.Finding]:
  rows = found.passport.weight_integrity.weight_files
  listed = {row.path: (row.size_bytes, row.sha256) for row in rows}
  for file in found.manifest.files if found.manifest else ():
    told = listed.get(file.path)
    if told != (file.size_bytes, file.sha256):
      yield outcome.failed(
        f"{shown.cut(file.path)} has another size or digest in the manifest",
        manifest.NAME,
        told or "not listed",
        (file.size_bytes, file.sha256),
        _ANEW,
      )


def _layout_faults(
  told: history.Format, items: Iterable[orbax_metadata.Item]
) -> Iterator[outcome.Finding]:
  places = []
  for item in items:
    places.append(item.place)
    name = shown.cut(item.place or "the checkpoint")
    if not item.ocdbt:
      yield outcome.failed(
        f"the arrays of {name} are not in OCDBT",
        f"{item.place}_METADATA",
        "use_ocdbt: true",
        "use_ocdbt: false",
        "save it with use_ocdbt=True",
      )
    for field, found in (("use_ocdbt", item.ocdbt), ("use_zarr3", item.zarr3)):
      if found != getattr(told, field):
        where = f"{_FORMAT}/{field}"
        evidence = f"{field} of {name} is {found}"
        yield outcome.failed(
          evidence, where, getattr(told, field), found, _ANEW
        )
  if told.item != "." and f"{told.item}/" not in places:
    evidence = f"there is no Orbax item '{shown.cut(told.item)}'"
    yield outcome.failed(evidence, f"{_FORMAT}/item", remedy=_ANEW)
  if not places:
    yield outcome.failed("there is no Orbax item", f"{_FORMAT}/item")


def _collisions(names: list[str]) -> Iterator[tuple[str, str]]:
  for name, count in collections.Counter(names).items():
    if count > 1:
      yield name, f"is the name of {count} leaves"
  known = set(names)
  for name in known:
    parts = name.split("/")
    above = ("/".join(parts[:end]) for end in range(1, len(parts)))
    for parent in above:
      if parent in known:
        yield parent, "is a leaf and a parent at once"


def _of_state(
  told: model.StateDict,
) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
  return (
    ("missing_keys", "missing", told.missing_keys),
    ("unexpected_keys", "unexpected", told.unexpected_keys),
    ("shape_mismatch", "of another shape", told.shape_mismatch),
    ("dtype_mismatch", "of another dtype", told.dtype_mismatch),
  )


def _count_faults(
  found: context_lib.Context, told: model.StateDict
) -> Iterator[outcome.Finding]:
  where = f"{_STATE}/found_keys_count"
  if told.expected_keys_count != (
    told.found_keys_count + len(told.missing_keys) - len(told.unexpected_keys)
  ):
    yield outcome.failed(
      "the counts contradict each other",
      f"{_STATE}/expected_keys_count",
      told.expected_keys_count,
      told.found_keys_count,
      _ANEW,
    )
  if found.manifest:
    stored = len(stored_leaves.acting(found))
    wrong = told.found_keys_count != stored
  else:
    stored = sum(len(x.leaves) for x in orbax_metadata.read(found))
    wrong = told.found_keys_count > stored
  if wrong:
    evidence = f"{stored} leaves are stored, {told.found_keys_count} were found"
    yield outcome.failed(evidence, where, told.found_keys_count, stored, _ANEW)


def _place_faults(found: context_lib.Context) -> Iterator[str]:
  """Yields components without an item, and an item that is not acted from."""
  if found.manifest is None:
    return
  places = {item.place for item in orbax_metadata.read(found)}
  full = [x.path.split("/")[0] for x in found.manifest.leaves if x.size_bytes]
  for component in dict.fromkeys(full):
    if f"{component}/" not in places:
      yield f"{component}/ has leaves in the manifest and no _METADATA"
  told = found.passport.weight_integrity.checkpoint_format.item
  acting = {x.path.split("/")[0] for x in stored_leaves.acting(found)}
  if acting and told not in acting:
    yield f"what acts lies in {sound.examples(acting)}, not {shown.cut(told)}"


def _item_faults(
  item: orbax_metadata.Item, rows: Mapping[str, manifest.Leaf]
) -> Iterator[str]:
  leaves = {leaf.name: leaf for leaf in item.leaves}
  place = shown.cut(item.place)
  missing, more = sound.apart(rows, leaves)
  if missing:
    yield f"{place} lacks leaves of the manifest: {missing}"
  if more:
    yield f"{place} has leaves that the manifest lacks: {more}"
  for name in leaves.keys() & rows.keys():
    written, shape = leaves[name].write_shape, rows[name].shape
    if written is not None and not _is_part(written, shape):
      yield (
        f"{place}{shown.cut(name)} is {list(written)} in its metadata, "
        f"{list(shape)} in the manifest"
      )


def _is_part(written: tuple[int, ...], shape: tuple[int, ...]) -> bool:
  """Tells whether arrays of the first shape can make up one of the second."""
  if len(written) != len(shape):
    return False
  return all(0 < w <= n for w, n in zip(written, shape, strict=True))


def _buffer_faults(found: context_lib.Context) -> Iterator[str]:
  rows = {leaf.path: leaf for leaf in stored_leaves.held(found)}
  names = stored_leaves.names(found)
  for buffer in found.passport.model_internals.buffers or ():
    name = shown.cut(buffer.path)
    if buffer.path not in names:
      yield f"the buffer {name} is not stored"
    elif rows and (rows[buffer.path].shape, rows[buffer.path].dtype) != (
      buffer.shape,
      buffer.dtype,
    ):
      row = rows[buffer.path]
      yield f"the buffer {name} is {row.dtype}{list(row.shape)} in the manifest"
