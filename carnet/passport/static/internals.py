"""What the manifest tells of the inside of a model."""

import math
import re
from collections.abc import Sequence

from carnet import run_context
from carnet.checkpoint import digest, manifest
from carnet.passport import context, family, model


def identity(
  described: family.Description, launch: run_context.Context | None
) -> model.ModelIdentity:
  """Returns the class of the model; versions come from running it."""
  named = launch.model if launch else None
  return model.ModelIdentity(
    class_name=described.class_name or (named.class_name if named else None),
    class_module=described.class_module
    or (named.class_module if named else None),
    library_versions=None,
    runtime_constraints=None,
    environment=None,
  )


def internals(
  found: context.Context,
  described: family.Description,
) -> model.ModelInternals:
  """Returns what is inside, as far as it is written down."""
  leaves = _leaves(found, described)
  return model.ModelInternals(
    module_hierarchy=None,
    parameters=parameters(leaves, described.trainable) if leaves else None,
    buffers=buffers(leaves) if leaves is not None else None,
    state_dict=None,
    tree_digest=tree_digest(found.manifest.leaves) if found.manifest else None,
    numerical_health=None,
    pretrained_provenance=described.pretrained,
    forward_graph=described.forward_graph,
  )


def parameters(
  leaves: Sequence[manifest.Leaf], trainable: str
) -> model.Parameters:
  """Returns counts over the leaves that acting needs."""
  counts = [(leaf, math.prod(leaf.shape)) for leaf in leaves]
  trained = sum(n for x, n in counts if re.fullmatch(trainable, x.path))
  total = sum(n for _, n in counts)
  dtypes: dict[str, int] = {}
  for leaf, count in counts:
    dtypes[leaf.dtype] = dtypes.get(leaf.dtype, 0) + count
  return model.Parameters(
    total_params=total,
    trainable=trained,
    frozen=total - trained,
    bytes=sum(leaf.size_bytes for leaf in leaves),
    dtype_breakdown=dtypes,
  )


def _leaves(
  found: context.Context, described: family.Description
) -> tuple[manifest.Leaf, ...] | None:
  if found.manifest is None:
    return None
  pattern = re.compile(described.needed)
  return tuple(
    leaf for leaf in found.manifest.leaves if pattern.fullmatch(leaf.path)
  )


def buffers(leaves: Sequence[manifest.Leaf]) -> tuple[model.Buffer, ...]:
  """Returns the leaves beside `params`: COMPONENT/COLLECTION/..."""
  found = []
  for leaf in leaves:
    collection = [*leaf.path.split("/"), ""][1]
    if collection != "params":
      found.append(
        model.Buffer(
          path=leaf.path,
          shape=leaf.shape,
          dtype=leaf.dtype,
          collection=collection or leaf.path,
        )
      )
  return tuple(found)


def tree_digest(leaves: Sequence[manifest.Leaf]) -> model.TreeDigest:
  """Returns the identity of leaves, whatever the files look like."""
  rows = {leaf.path: leaf.sha256 for leaf in leaves}
  return model.TreeDigest(
    algorithm="carnet-leaf-sha256-v1",
    leaf_count=len(rows),
    root=digest.tree(rows.items()),
    leaves=rows,
  )
