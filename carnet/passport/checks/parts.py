"""Parts of a passport that several checks look at."""

import functools
import pathlib
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from carnet import errors
from carnet.passport import context, contract, difference, outcome

GENERATE = "generate-passport writes it from the checkpoint's own files"
MEASURE = "generate-passport measures it"

# statistics of a context under examination, by file: many pins name one
_read: weakref.WeakKeyDictionary[context.Context, dict[str, Any]] = (
  weakref.WeakKeyDictionary()
)
_WithContract = Callable[
  [context.Context, contract.InputContract], outcome.Finding
]


def with_contract(
  check: _WithContract,
) -> Callable[[context.Context], outcome.Finding]:
  """Returns the check as one of a context; without a contract, not checked."""

  @functools.wraps(check)
  def run(found: context.Context) -> outcome.Finding:
    needed = found.passport.input_contract
    if needed is None:
      return outcome.not_checked("there is no input_contract", GENERATE)
    return check(found, needed)

  return run


def differ(
  rows: list[difference.Difference], beside: str, remedy: str = GENERATE
) -> outcome.Finding:
  """Returns a fault that lists every row."""
  count = "1 field differs" if len(rows) == 1 else f"{len(rows)} fields differ"
  return outcome.failed(
    f"{count} from {beside}: {difference.summary(rows)}",
    rows[0].where,
    difference.text(rows[0].expected),
    difference.text(rows[0].found),
    remedy,
  )


def normalizations(
  needed: contract.InputContract,
) -> list[tuple[str, contract.NormSpec, int]]:
  """Returns (JSON pointer, normalisation, width) of what is normalised."""
  pairs = [
    (f"images/{index}", image.normalization, image.shape[2])
    for index, image in enumerate(needed.images)
  ]
  pairs.append(("state", needed.state.normalization, needed.state.dim))
  pairs.append(("actions", needed.actions.normalization, needed.actions.dim))
  return [
    (f"/input_contract/{name}/normalization", spec, width)
    for name, spec, width in pairs
    if spec is not None and spec.mode != "identity"
  ]


def raw_width(state: contract.State) -> int:
  """Returns how many numbers the state has before it is expanded."""
  if state.dataset_sub_keys is None:
    return state.dim
  return max((part.stop for part in state.dataset_sub_keys), default=0)


def block(
  found: context.Context, fingerprint: contract.Fingerprint
) -> dict[str, Any]:
  """Returns the statistics that a fingerprint names.

  Raises:
    UserError: no such file, or no such key in it; keys that end alike are
      named.
  """
  known = _read.setdefault(found, {})
  if fingerprint.file not in known:
    known[fingerprint.file] = found.json(fingerprint.file)
  blocks = known[fingerprint.file]
  if not isinstance(blocks, dict):
    raise errors.UserError(f"{fingerprint.file} is no JSON object")
  present = blocks.get(fingerprint.key)
  if isinstance(present, dict):
    return present
  alike = [key for key in blocks if key.endswith(fingerprint.key)]
  hint = f"; there is {', '.join(map(repr, alike[:3]))}" if alike else ""
  raise errors.UserError(
    f"{fingerprint.file} has no statistics of '{fingerprint.key}'{hint}"
  )


def numbers(present: dict[str, Any], name: str, where: str) -> np.ndarray:
  """Returns one entry of a block, [D]; messages call the block `where`.

  Raises:
    UserError: it is not there, or no list of numbers.
  """
  row = present.get(name)
  sound = isinstance(row, list) and all(
    isinstance(x, int | float) and not isinstance(x, bool) for x in row
  )
  if not sound:
    raise errors.UserError(f"{where} has no list of numbers called '{name}'")
  return np.asarray(row, np.float64)


def on_disk(found: context.Context, name: str) -> str | None:
  """Returns the digest of a file in the checkpoint, None if there is none."""
  return found.digests.get(pathlib.PurePosixPath(name).as_posix())


def declared(found: context.Context) -> dict[str, str]:
  """Returns the digests that `weight_files` has, by path."""
  files = found.passport.weight_integrity.weight_files
  return {file.path: file.sha256 for file in files}
