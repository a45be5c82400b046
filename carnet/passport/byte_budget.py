"""Memory that reading a checkpoint takes, against what its files can hold.

A few kilobytes of a compressed file can declare a terabyte.
"""

from collections.abc import Iterator

from carnet.passport import context, stored_leaves

LARGEST_BYTES = 64 << 30  # as carnet.checkpoint.foreign reads at once
_INDEXED_BYTES = 4096  # smaller arrays lie in OCDBT's compressed index
# others compress: zeros, such as fresh optimizers, to a thousandth
_LARGEST_RATIO = 1000
_FREE_BYTES = 64 << 20


def faults(found: context.Context) -> Iterator[str]:
  """Yields what is wrong with the declared bytes.

  Raises:
    UserError: the manifest is not sound.
  """
  told = found.passport.weight_integrity.checkpoint_format
  declared = told.declared_array_bytes
  if declared > LARGEST_BYTES:
    yield f"{declared} bytes are declared: at most {LARGEST_BYTES} are read"
  rows = stored_leaves.held(found)
  counted = sum(leaf.size_bytes for leaf in rows)
  if found.manifest and declared != counted:
    yield f"{declared} bytes are declared, the manifest's leaves have {counted}"
  stored = sum(entry.size_bytes for entry in found.entries)
  if found.manifest:
    # nothing is compressed but what lies in the index
    large = [x.size_bytes for x in rows if x.size_bytes > _INDEXED_BYTES]
    if sum(large) > stored:
      yield f"leaves of {sum(large)} bytes are in files of {stored}"
  elif expands(declared, stored):
    yield f"{declared} bytes are declared of files of {stored}"


def expands(declared: int, stored: int) -> bool:
  """Tells whether compressed files hold too little for what they declare."""
  return declared > _FREE_BYTES + _LARGEST_RATIO * stored
