"""Freed memory stays: no page faults when it is taken again."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from carnet import allocator
kept = sys.argv[1] == "keep" and allocator.keep_freed_memory()
def faults():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  block = bytearray(b"1") * 2**26  # touches every page
  del block
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


def run(mode: str) -> tuple[bool, int]:
  """Returns whether glibc obeyed, and the faults of a second large block."""
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM, mode],
    check=True,
    capture_output=True,
    text=True,
  )
  kept, faults = done.stdout.split()
  return kept == "True", int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_freed_memory_is_used_again() -> None:
  kept, faults = run("keep")
  if not kept:
    pytest.skip("no glibc")
  assert faults < 1000
  assert run("give back")[1] > 10_000  # 2^26 bytes are 16,384 pages
