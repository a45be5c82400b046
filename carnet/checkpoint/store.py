"""Flat dictionaries of arrays on disk: the one file that knows Orbax.

Arrays are written and read as numpy. Their names, shapes and dtypes come from
our manifest, so nothing that Orbax's metadata names is looked up or imported.
"""

import pathlib
from collections.abc import Collection, Mapping

import numpy as np
import orbax.checkpoint as ocp


def write(directory: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes arrays, none of them empty, to a directory that does not exist."""
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
    checkpointer.save(
      directory.absolute(), args=ocp.args.PyTreeSave(dict(arrays))
    )


def read(
  directory: pathlib.Path, names: Collection[str]
) -> dict[str, np.ndarray]:
  """Reads the named arrays and no others."""
  as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
  request = ocp.args.PyTreeRestore(
    item=dict.fromkeys(names, 0),
    restore_args=dict.fromkeys(names, as_numpy),
    partial_restore=True,
  )
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
    return dict(checkpointer.restore(directory.absolute(), args=request))
