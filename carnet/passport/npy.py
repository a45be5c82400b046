"""Arrays of .npy files, of which nothing is executed."""

from typing import Any

import numpy as np

from carnet import errors
from carnet.passport import context

LARGEST_BYTES = 1 << 30  # of a reference array


def read(found: context.Context, name: str) -> np.ndarray:
  """Returns the array of a .npy file in the directory; nothing is executed.

  Raises:
    UserError: not there, too large, not as its header says, or of objects.
  """
  place = found.inside(name)
  try:
    size = place.stat().st_size
    if size > LARGEST_BYTES:
      raise errors.UserError(f"{name} has {size} bytes: too large")
    with place.open("rb") as file:
      _check_header(name, file, size)
      return np.load(file, allow_pickle=False)
  except (OSError, ValueError, EOFError) as error:
    raise errors.UserError(f"{name} is no sound .npy file: {error}") from error


def _check_header(name: str, file: Any, size: int) -> None:
  """Refuses a header that declares more than the file holds."""
  version = np.lib.format.read_magic(file)
  read = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }.get(version)
  if read is None:
    raise ValueError(f"version {version} of the format is not read")
  shape, _, dtype = read(file)
  if dtype.hasobject:
    raise ValueError("it holds objects")
  count = 1
  for length in shape:
    count *= int(length)
  if file.tell() + count * dtype.itemsize != size:
    raise ValueError(
      f"its header declares {dtype} {shape}, the file has {size} bytes"
    )
  file.seek(0)
