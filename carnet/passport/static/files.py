"""The files of a checkpoint, with what each is for."""

import re
from collections.abc import Mapping

import pydantic

from carnet import errors
from carnet.passport import context, history, needed_files, shown

CONFIG = "config.json"


def files(
  found: context.Context, roles: Mapping[str, history.Role], needed: str
) -> tuple[history.File, ...]:
  """Returns every file of the directory but the papers, with digest and role.

  Raises:
    UserError: there is a link, a device, or a name that no passport takes.
  """
  sizes = {}
  for entry in found.entries:
    if entry.kind != "file":
      what = "a device, a pipe, or cannot be read"
      if entry.kind == "link":
        what = "a link"
      raise errors.UserError(
        f"{shown.cut(entry.path)} is {what}: a checkpoint has plain files only"
      )
    sizes[entry.path] = entry.size_bytes
  rows = []
  for name, sha256 in sorted(found.digests.items()):
    role = roles.get(name) or _role(found, name, needed)
    rows.append(_row(name, sha256, sizes[name], role))
  return tuple(rows)


def _row(
  name: str, sha256: str, size_bytes: int, role: history.Role
) -> history.File:
  try:
    return history.File(
      path=name, sha256=sha256, size_bytes=size_bytes, role=role
    )
  except pydantic.ValidationError as error:
    raise errors.UserError(
      f"{shown.cut(name)} cannot be listed: rename it, with printable "
      "characters, no backslash, and at most 512 of them in the whole path"
    ) from error


def _role(found: context.Context, name: str, needed: str) -> history.Role:
  if name == CONFIG:
    return "config"
  if name.startswith("assets/reference_"):
    return "reference"
  if name.endswith(".md"):
    return "log"
  component, _, rest = name.partition("/")
  if not rest:
    return "metadata"
  if found.manifest is None:
    return "weights"
  if component not in found.manifest.components:
    return "metadata"
  acts = any(
    re.fullmatch(needed, leaf.path)
    for leaf in found.manifest.leaves
    if leaf.path.startswith(f"{component}/")
  )
  if not acts:
    return "training_state"
  is_data = re.match(r"(ocdbt\.process_\d+/)?d/", rest)
  return "weights" if is_data else "metadata"


def checkpoint_format(found: context.Context, needed: str) -> history.Format:
  """Returns how the arrays are stored."""
  held = found.manifest
  if held is None:
    return _of_others(found)
  acting = [x for x in held.leaves if re.fullmatch(needed, x.path)]
  return history.Format(
    kind="carnet",
    item=acting[0].path.split("/")[0] if acting else ".",
    step=held.step,
    use_ocdbt=True,
    use_zarr3=False,
    declared_array_bytes=sum(leaf.size_bytes for leaf in held.leaves),
  )


def _of_others(found: context.Context) -> history.Format:
  """Returns what the files of another program tell; "." where items are many.

  Bytes are those that the policy's own code counts once it runs.
  """
  items = needed_files.items(found)
  metadata = [found.json(f"{item}{needed_files.METADATA}") for item in items]
  return history.Format(
    kind="orbax",
    item=(items[0].rstrip("/") if len(items) == 1 else "") or ".",
    step=None,
    use_ocdbt=any(e.path.endswith("manifest.ocdbt") for e in found.entries),
    use_zarr3=any(
      isinstance(x, dict) and bool(x.get("use_zarr3")) for x in metadata
    ),
    declared_array_bytes=0,
  )
