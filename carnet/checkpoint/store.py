"""Flat dictionaries of arrays on disk: the one file that knows Orbax.

Arrays are written and read as numpy. Their names, shapes and dtypes come from
our manifest.
"""

import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from carnet.checkpoint import foreign_zarr

_LAYOUT = foreign_zarr.Layout(ocdbt=True, zarr3=False, sparse=False)


def write(directory: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes arrays, none of them empty, to a directory that does not exist."""
  with _checkpointer() as checkpointer:
    checkpointer.save(
      directory.absolute(), args=ocp.args.PyTreeSave(dict(arrays))
    )


def open_arrays(
  directory: pathlib.Path, names: Collection[str]
) -> dict[str, Any]:
  """Opens the named arrays for `foreign_zarr`; reads their headers alone.

  What was written above is read without Orbax: nothing that its metadata
  names is looked up, and a header can be refused before memory is taken.
  """
  return foreign_zarr.open_all(directory, names, _LAYOUT)


def _checkpointer() -> ocp.Checkpointer:
  """Returns a checkpointer that waits for no other process."""
  index = jax.process_index()
  alone = ocp.options.MultiprocessingOptions(
    primary_host=index,
    active_processes={index},
    barrier_sync_key_prefix=f"carnet_{index}",
  )
  # Trained weights compress by 8 %, at four times the seconds of a save.
  handler = ocp.PyTreeCheckpointHandler(
    multiprocessing_options=alone,
    use_compression=False,
    use_ocdbt=_LAYOUT.ocdbt,
    use_zarr3=_LAYOUT.zarr3,
  )
  return ocp.Checkpointer(handler, multiprocessing_options=alone)
