"""What the other processes hand in for a save, through the shared directory.

A process that does not lead writes the parts that it alone has into the
working directory of the save: its shards, its own states, and digests of what
should be the same everywhere. `index.json` comes last. The leader takes these
in, writes the step as one process would, and removes the working directory;
or leaves the reason there why it could not.
"""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from carnet.checkpoint import (
  chunks,
  components,
  digest,
  documents,
  leaves,
  manifest,
  processes,
)

_INDEX = "index.json"
_DATA = "data.bin"
_FAILED = "failed"
_PATIENCE_SECONDS = 3600  # a process that died is noticed by JAX long before
_POLL_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class Share:
  """What one other process handed in, by component path."""

  process: int
  kinds: Mapping[str, str]
  attachments: Mapping[str, str]
  documents: Mapping[str, bytes]
  chunks: Mapping[str, tuple[manifest.Chunk, ...]]
  specs: Mapping[str, leaves.Spec]
  shards: Mapping[str, leaves.Shards]
  digests: Mapping[str, str]


class ShareError(Exception):
  """A save failed in another process, or its parts do not fit together."""


def hand_in(
  working: pathlib.Path,
  payloads: Mapping[str, components.Payload],
  shared: frozenset[str],
  attachments: Mapping[str, bytes],
  process: processes.Process,
) -> None:
  """Writes this process's share; `shared` roots should be equal everywhere."""
  place = _place(working, process.index)
  place.mkdir(parents=True)
  index: dict[str, Any] = {"documents": {}, "chunks": {}, "leaves": []}
  index["kinds"] = {root: payload.kind for root, payload in payloads.items()}
  index["attachments"] = _digests(attachments)
  with open(place / _DATA, "xb") as data:
    for root, payload in payloads.items():
      if isinstance(payload, components.Arrays):
        for path, content in payload.contents.items():
          row = _leaf_row(path, payload.specs[path], content, root in shared)
          row["parts"] = [_append(data, *part) for part in row["parts"]]
          index["leaves"].append(row)
      else:
        index["documents"][root] = payload.content.decode()
      if isinstance(payload, components.Chunks):
        rows = chunks.put_all(working.parent, payload.chunks, root)
        index["chunks"][root] = [dataclasses.asdict(row) for row in rows]
  draft = place / f"{_INDEX}.draft"
  draft.write_text(json.dumps(index))
  os.rename(draft, place / _INDEX)


def collect(working: pathlib.Path, count: int) -> list[Share]:
  """Waits for the shares of the other of `count` processes.

  Raises:
    ShareError: one of them failed, or did not come.
  """
  return [_take(working, index) for index in range(1, count)]


def report_failure(working: pathlib.Path, index: int, reason: str) -> None:
  """Lets the others know that the save failed here."""
  working.mkdir(exist_ok=True)
  name = _FAILED if index == 0 else f"{_FAILED}_{index}"
  (working / name).write_text(reason)


def await_leader(working: pathlib.Path, final: pathlib.Path) -> None:
  """Waits until the leader has written the step.

  Raises:
    ShareError: it has not; the message says why.
  """
  for _ in _patience():
    if not working.exists():
      break
    if (working / _FAILED).exists():
      raise ShareError(f"process 0: {(working / _FAILED).read_text()}")
  else:
    raise ShareError("process 0 did not finish in time")
  if not (final / manifest.NAME).exists():
    raise ShareError("process 0 gave up")


def join(own: leaves.Shards, path: str, taken: list[Share]) -> np.ndarray:
  """Returns a whole leaf from the shards of all processes.

  Raises:
    ShareError: they do not cover it.
  """
  others = [share.shards[path] for share in taken if path in share.shards]
  parts = sum((other.parts for other in others), own.parts)
  try:
    return dataclasses.replace(own, parts=parts).assemble()
  except ValueError as error:
    raise ShareError(
      f"{path}: {error}: a global array belongs to a component that is not "
      "per_process"
    ) from error


def check_alike(
  payloads: Mapping[str, components.Payload],
  own: frozenset[str],
  attachments: Mapping[str, bytes],
  taken: list[Share],
) -> None:
  """Refuses processes that do not save the same components, leaves and files.

  What only one of them has would be lost without a word.

  Raises:
    ShareError: it names the first difference.
  """
  mine = {
    path
    for root, payload in payloads.items()
    if root not in own and isinstance(payload, components.Arrays)
    for path in payload.specs
  }
  kinds = {components.name_of(r): p.kind for r, p in payloads.items()}
  for share in taken:
    theirs = {components.name_of(r): kind for r, kind in share.kinds.items()}
    shared = {p for p in share.specs if not _is_own(p, share)}
    for what, here, there in (
      ("components", set(kinds.items()), set(theirs.items())),
      ("leaves", mine, shared),
      (
        "attached files",
        set(_digests(attachments).items()),
        set(share.attachments.items()),
      ),
    ):
      if here != there:
        names = sorted({str(_name(x)) for x in here ^ there})
        raise ShareError(
          f"process 0 and process {share.process} have different {what} "
          f"({', '.join(names)}): register and attach the same in all"
        )


def check_equal(path: str, sha256: str, taken: list[Share]) -> None:
  """Refuses a leaf that another process has differently.

  Raises:
    ShareError: it differs; only one of them could be saved.
  """
  for share in taken:
    if share.digests.get(path, sha256) != sha256:
      raise ShareError(
        f"{path} differs between process 0 and process {share.process}: "
        "make it equal, or register its component with per_process=True"
      )


def _name(item: Any) -> Any:
  return item[0] if isinstance(item, tuple) else item


def _is_own(path: str, share: Share) -> bool:
  return any(
    path == root or path.startswith(f"{root}/")
    for root in share.kinds
    if root != components.name_of(root)
  )


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
  return {name: digest.data(content) for name, content in files.items()}


def _place(working: pathlib.Path, index: int) -> pathlib.Path:
  return working / f"process_{index}"


def _leaf_row(
  path: str,
  spec: leaves.Spec,
  content: np.ndarray | leaves.Shards,
  shared: bool,
) -> dict[str, Any]:
  row: dict[str, Any] = {"path": path, "shape": spec.shape, "dtype": spec.dtype}
  row |= {"weak": spec.weak, "sha256": None, "parts": []}
  if isinstance(content, leaves.Shards):
    row["parts"] = list(content.parts)
    row["stored_shape"] = content.shape
  elif shared:
    row["sha256"] = digest.leaf(content)
  else:
    row["parts"] = [(tuple((0, n) for n in content.shape), content)]
    row["stored_shape"] = content.shape
  return row


def _append(
  file: Any, place: tuple[tuple[int, int], ...], part: np.ndarray
) -> dict[str, Any]:
  start = file.tell()
  file.write(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
  return {"start": start, "place": place}


def _take(working: pathlib.Path, index: int) -> Share:
  place = _place(working, index)
  failed = working / f"{_FAILED}_{index}"
  for _ in _patience():
    if failed.exists():
      raise ShareError(f"process {index}: {failed.read_text()}")
    if (place / _INDEX).exists():
      break
  else:
    raise ShareError(f"process {index} handed nothing in")
  found = documents.decode((place / _INDEX).read_bytes(), str(place / _INDEX))
  rows = found["leaves"]
  texts = {root: x.encode() for root, x in found["documents"].items()}
  return Share(
    process=index,
    kinds=found["kinds"],
    attachments=found["attachments"],
    documents=texts,
    chunks={
      root: tuple(manifest.Chunk(**row) for row in listed)
      for root, listed in found["chunks"].items()
    },
    specs={
      row["path"]: leaves.Spec(tuple(row["shape"]), row["dtype"], row["weak"])
      for row in rows
    },
    shards={
      row["path"]: _shards(place / _DATA, row) for row in rows if row["parts"]
    },
    digests={row["path"]: row["sha256"] for row in rows if row["sha256"]}
    | {root: digest.data(text) for root, text in texts.items()},
  )


def _shards(data: pathlib.Path, row: dict[str, Any]) -> leaves.Shards:
  spec = leaves.Spec(tuple(row["shape"]), row["dtype"])
  dtype = leaves.stored(spec)[1]
  parts = []
  for part in row["parts"]:
    place = tuple((start, stop) for start, stop in part["place"])
    shape = tuple(stop - start for start, stop in place)
    flat = np.fromfile(
      data, dtype, int(np.prod(shape, dtype=np.int64)), offset=part["start"]
    )
    parts.append((place, flat.reshape(shape)))
  return leaves.Shards(tuple(row["stored_shape"]), dtype, tuple(parts))


def _patience() -> Iterator[None]:
  end = time.monotonic() + _PATIENCE_SECONDS
  while time.monotonic() < end:
    yield
    time.sleep(_POLL_SECONDS)
