"""Tells files that a careless reader would unpickle, which executes them.

Nothing is unpickled or parsed here: names, first bytes, and names in archives.
"""

import os
import pathlib
import re
import stat

SUFFIXES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")
_CHECKPOINT = ".ckpt"  # a pickle from PyTorch, something else elsewhere
_HEAD_BYTES = 1 << 16  # more than any sound header of a .npy file has
_TAIL_BYTES = 1 << 16
_NUMPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
# protocols 4 and 5 begin with a frame; 2 and 3 with some instruction
_FRAMED = re.compile(rb"\x80[\x04\x05]\x95")
_BINARY = re.compile(rb"\x80[\x02-\x05][\x28\x5d\x7d\x63\x58\x8c\x4b\x71]")
# 0 and 1: a global and what is done with it, a container, or a text
_TEXT = re.compile(
  rb"\(?c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n[(pq)\]}0N]"
  rb"|\([dlt]p\d+\n|\(S['\"]|[\]}]q"
)
_OBJECTS = re.compile(rb"['\"]\s*[|<>=]?\s*(O\d*|object\w*)\s*['\"]")
_HEADER = re.compile(rb"[ -~\n]*")


def fault(path: pathlib.Path, sniffed: bool) -> str:
  """Returns why a file may hold a pickle, or nothing.

  Args:
    path: a plain file.
    sniffed: also by beginnings that arrays may have by chance.
  """
  suffixes = {suffix.lower() for suffix in path.suffixes}
  named = sorted(suffixes.intersection(SUFFIXES))
  if named:
    return f"is named like a pickle ({named[0]})"
  head, tail = _read(path)
  if _FRAMED.match(head):
    return "begins like a pickle"
  if (sniffed or _CHECKPOINT in suffixes) and (
    _BINARY.match(head) or _TEXT.match(head)
  ):
    return "begins like a pickle"
  if head.startswith(_ZIP) and b".pkl" in tail:
    return "is an archive with a pickle in it"
  return _numpy_fault(head)


def _numpy_fault(head: bytes) -> str:
  if not head.startswith(_NUMPY):
    return ""
  wide = head[6:7] != b"\x01"  # version 1 has two bytes of length, later four
  start = 12 if wide else 10
  length = int.from_bytes(head[8:start], "little")
  header = head[start : start + length]
  # an escape sequence in it could spell the name of the type of objects
  if b"\\" in header or not _HEADER.fullmatch(header):
    return "has a header of .npy that is not plain text"
  if length > len(header) or _OBJECTS.search(header):
    return "is an array of objects, which are stored as a pickle"
  return ""


def _read(path: pathlib.Path) -> tuple[bytes, bytes]:
  """Returns the first and the last bytes of a plain file."""
  descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
  try:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
      raise OSError(0, "it is not a plain file")
    head = os.pread(descriptor, _HEAD_BYTES, 0)
    start = max(0, status.st_size - _TAIL_BYTES)
    return head, os.pread(descriptor, _TAIL_BYTES, start)
  finally:
    os.close(descriptor)
