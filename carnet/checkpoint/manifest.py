"""`manifest.json`: what a step directory holds, written last.

It lists every leaf and every file with its sha256, and ends with a sha256 over
itself. A step directory without a complete manifest is not a step. This file
imports no JAX, so that tools can read manifests quickly.
"""

import dataclasses
import functools
import json
import math
import platform
import re
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from carnet import errors, paths
from carnet.checkpoint import digest, documents, dtypes, faults

NAME = "manifest.json"
FORMAT = "carnet-checkpoint"
FORMAT_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KINDS = ("arrays", "json", "chunks")
_EMPTY_STATES = 1024  # processes whose state needs neither a file nor a leaf
LIBRARIES = ("carnet", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")


_Count = Annotated[int, pydantic.Field(ge=0)]


@dataclasses.dataclass(frozen=True)
class Leaf:
  """One array: its component path, and a digest of its content.

  `weak` is set for JAX's weakly typed arrays.
  """

  path: str
  shape: tuple[_Count, ...]
  dtype: str
  size_bytes: _Count
  sha256: str
  weak: bool = False


@dataclasses.dataclass(frozen=True)
class File:
  """One file, by its path below the step directory."""

  path: str
  size_bytes: _Count
  sha256: str


@dataclasses.dataclass(frozen=True)
class Chunk:
  """One immutable file in the chunk store beside the steps.

  `component` is the component path whose state it is a part of, in order.
  """

  component: str
  sha256: str
  size_bytes: _Count


@dataclasses.dataclass(frozen=True)
class Manifest:
  """The facts of one step.

  `components` maps each name to "arrays", "json" or "chunks". `processes` has
  the components of which every process saved its own state, with how many
  processes there were. `lineage` lists the checkpoints that this run started
  from, oldest first.
  """

  step: _Count
  components: Mapping[str, str]
  leaves: tuple[Leaf, ...]
  files: tuple[File, ...]
  metrics: Mapping[str, float | None]
  lineage: tuple[Mapping[str, Any], ...]
  libraries: Mapping[str, str]
  created_utc: str
  chunks: tuple[Chunk, ...] = ()
  processes: Mapping[str, _Count] = dataclasses.field(default_factory=dict)

  def roots(self, name: str) -> list[str]:
    """Returns the path of each state that was saved of a component."""
    count = self.processes.get(name, 1)
    return [root(name, index, count) for index in range(count)]

  @property
  def tree_sha256(self) -> str:
    """The digest of all leaves: equal states have equal digests."""
    return digest.tree((leaf.path, leaf.sha256) for leaf in self.leaves)


@functools.cache  # takes longer to build than most programs need to import
def _schema() -> pydantic.TypeAdapter:
  return pydantic.TypeAdapter(Manifest)


def root(name: str, index: int, count: int) -> str:
  """Returns the path of one of `count` processes' state of a component."""
  return name if count == 1 else f"{name}/process_{index}_of_{count}"


def finite_metrics(metrics: Mapping[str, Any]) -> dict[str, float | None]:
  """Returns the metrics as JSON numbers; NaN and infinities become None.

  Raises:
    UserError: a metric is not one number, or its name is no text.
  """
  numbers: dict[str, float | None] = {}
  for name, value in metrics.items():
    _check_metric_name(name)
    if _is_text(value):
      raise errors.UserError(f"metric {name!r} is text: give a number")
    try:
      number = float(value)
    except (TypeError, ValueError) as error:
      raise errors.UserError(f"metric {name!r} is not a number") from error
    except OverflowError as error:
      raise errors.UserError(
        f"metric {name!r} is beyond what a float holds"
      ) from error
    numbers[name] = number if math.isfinite(number) else None
  return numbers


def _check_metric_name(name: Any) -> None:
  try:
    sound = isinstance(name, str) and bool(name.encode())
  except UnicodeEncodeError:  # half of a surrogate pair
    sound = False
  if not sound:
    raise errors.UserError(f"metric {name!r}: use text as its name")


def _is_text(value: Any) -> bool:
  kind = getattr(getattr(value, "dtype", None), "kind", "")
  return isinstance(value, str | bytes | bytearray) or kind in ("S", "U")


def library_versions() -> dict[str, str]:
  """Returns the versions that a step records."""
  import importlib.metadata  # a tenth of what readers of manifests import

  versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
  return {"python": platform.python_version(), **versions}


def encode(manifest: Manifest) -> bytes:
  """Returns the file's content: one line for each leaf, file and fact.

  Raises:
    SaveError: nobody could read it again.
  """
  body = {"format": FORMAT, "format_version": FORMAT_VERSION}
  body |= dataclasses.asdict(manifest) | {"tree_sha256": manifest.tree_sha256}
  content = seal(body)
  try:
    decode(content, NAME)
  except errors.UserError as error:
    raise faults.SaveError(
      f"step {manifest.step} could not be read again: {error}"
    ) from error
  return content


def seal(body: Mapping[str, Any]) -> bytes:
  """Returns JSON whose last entry is the sha256 of the lines before it.

  `head -n -2 manifest.json | sha256sum` computes the same.
  """
  lines = [f"{json.dumps(key)}: {_pretty(body[key])},\n" for key in body]
  return _seal(("{\n" + "".join(lines)).encode())


def decode(content: bytes, where: str) -> Manifest:
  """Returns the manifest in `content`, which messages call `where`.

  Raises:
    CorruptError: it is cut off, altered, or not a manifest.
    FormatError: a newer version of this library wrote it.
  """
  lines = content.splitlines(keepends=True)[:-2]
  if content != _seal(b"".join(lines)):
    raise faults.CorruptError(
      f"{where} was altered or cut off: it does not end with the sha256 of "
      "its other lines"
    )
  body = documents.decode(content, where)
  if not isinstance(body, dict) or body.get("format") != FORMAT:
    raise faults.CorruptError(f"{where} is not a carnet manifest")
  if body.get("format_version") != FORMAT_VERSION:
    raise faults.FormatError(
      f"{where} has format version {body.get('format_version')}, this carnet "
      f"reads {FORMAT_VERSION}: install the version that wrote it"
    )
  try:
    found: Manifest = _schema().validate_json(content, strict=True)
    _check(found)
  except pydantic.ValidationError as error:
    first = error.errors()[0]
    place = "/".join(map(str, first["loc"]))
    raise faults.CorruptError(
      f"{where} is malformed: {place}: {first['msg']}"
    ) from error
  except (KeyError, ValueError, errors.UserError) as error:
    raise faults.CorruptError(f"{where} is malformed: {error}") from error
  return found


def _check(found: Manifest) -> None:
  """Refuses paths that lead out, and rows that contradict each other."""
  listed = {paths.check(file.path) for file in found.files}
  _check_processes(found)
  for leaf in found.leaves:
    _check_kind(found, leaf.path, "arrays")
    _check_size(leaf)
  chunked = set()
  for name, kind in found.components.items():
    if kind not in _KINDS:
      raise ValueError(f"{name} is of the unknown kind '{kind}'")
    for part in found.roots(name):
      if kind != "arrays" and f"{part}/state.json" not in listed:
        raise ValueError(f"the state of {part} is not listed")
      if kind == "chunks":
        chunked.add(part)
  for chunk in found.chunks:
    if chunk.component not in chunked:
      raise ValueError(f"{chunk.component} is no component of chunks")
    if not _SHA256.fullmatch(chunk.sha256):
      raise ValueError(f"{chunk.sha256!r} is not a sha256")


def _check_processes(found: Manifest) -> None:
  """Refuses more processes than can have saved something."""
  for name in found.processes:
    if name not in found.components:
      raise ValueError(f"processes saved {name}, which is no component")
  most = len(found.files) + len(found.leaves)
  most += _EMPTY_STATES * len(found.processes)
  if sum(found.processes.values()) > most:
    raise ValueError("there are more processes than files and leaves")


def _check_size(leaf: Leaf) -> None:
  try:
    size_bytes = dtypes.size_bytes(leaf.shape, leaf.dtype)
  except ValueError as error:
    raise ValueError(f"leaf {leaf.path} has an {error}") from error
  if leaf.size_bytes != size_bytes:
    raise ValueError(
      f"leaf {leaf.path} has {leaf.size_bytes} bytes, its shape {size_bytes}"
    )


def _check_kind(found: Manifest, path: str, kind: str) -> None:
  if found.components.get(paths.check(path).split("/")[0]) != kind:
    raise ValueError(f"{path} is not of a component of {kind}")


def _seal(lines: bytes) -> bytes:
  return lines + f'"sha256": "{digest.data(lines)}"\n}}\n'.encode()


def _pretty(value: Any) -> str:
  if isinstance(value, list | tuple) and value:
    rows = ",\n".join(f"  {json.dumps(_without_defaults(r))}" for r in value)
    return f"[\n{rows}\n]"
  return json.dumps(value)


def _without_defaults(row: Any) -> Any:
  if isinstance(row, dict) and row.get("weak") is False:
    return {key: value for key, value in row.items() if key != "weak"}
  return row
