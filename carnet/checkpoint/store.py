"""Flat dictionaries of arrays on disk: the one file that knows Orbax.

Arrays are written and read as numpy. Their names, shapes and dtypes come from
our manifest, so nothing that Orbax's metadata names is looked up or imported.
"""

import pathlib
from collections.abc import Collection, Mapping

import jax
import numpy as np
import orbax.checkpoint as ocp


def write(directory: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes arrays, none of them empty, to a directory that does not exist."""
  with _checkpointer() as checkpointer:
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
  with _checkpointer() as checkpointer:
    return dict(checkpointer.restore(directory.absolute(), args=request))


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
    multiprocessing_options=alone, use_compression=False
  )
  return ocp.Checkpointer(handler, multiprocessing_options=alone)
