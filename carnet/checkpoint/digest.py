"""Content digests of leaves and files: sha256, hexadecimal.

A leaf's digest covers its dtype, its shape and its bytes in little-endian
C order, so it stays the same after another save, another sharding or another
file format. The tree digest covers the sorted (path, leaf digest) pairs.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  import numpy  # arrays bring it along; what hashes files does without

_BLOCK_BYTES = 1 << 20


def leaf(array: "numpy.ndarray") -> str:
  """Returns the digest of a C-contiguous array in native byte order."""
  header = json.dumps([array.dtype.name, list(array.shape)])
  result = hashlib.sha256(header.encode() + b"\n")
  if array.size:
    # hashlib releases the GIL, so that training goes on beside it. A view as
    # bytes serves dtypes that have no buffer format, such as bfloat16.
    result.update(array.reshape(-1).view("uint8").data)
  return result.hexdigest()


def tree(leaves: Iterable[tuple[str, str]]) -> str:
  """Returns the digest over (path, leaf digest) pairs, in any order."""
  lines = sorted(f"{sha256} {path}\n" for path, sha256 in leaves)
  return hashlib.sha256("".join(lines).encode()).hexdigest()


def data(content: bytes) -> str:
  """Returns the digest of bytes."""
  return hashlib.sha256(content).hexdigest()


def file(path: pathlib.Path) -> str:
  """Returns the digest of a file's content."""
  result = hashlib.sha256()
  with open(path, "rb") as source:
    while block := source.read(_BLOCK_BYTES):
      result.update(block)
  return result.hexdigest()
