"""A small file system that a save fills up, at several moments of it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import directory


@pytest.fixture
def small_disk(tmp_path):
  """A file system of 2 MB."""
  place = tmp_path / "disk"
  place.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
  if not sys.platform.startswith("linux"):
    pytest.skip("mounts a tmpfs, which Linux has")
  done = subprocess.run(mount, capture_output=True, text=True)
  if done.returncode:
    pytest.skip(f"may not mount a tmpfs: {done.stderr.strip()}")
  yield place
  subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("free_kb", [1000, 20, 8, 0])
def test_a_file_system_without_space_costs_no_step(small_disk, free_kb):
  """It fills up in the data, in the small files or at the very first."""
  root = small_disk / "run"
  checkpoint = checkpoint_lib.Checkpoint(root, verbose=False)
  agent = checkpoint.register("agent", np.zeros(1000, np.uint8))
  for step in (1, 2):
    agent.value = np.full(1000, step, np.uint8)
    checkpoint.save(step)
  checkpoint.wait()
  noise = np.random.default_rng(0).integers(0, 255, 1_200_000, np.uint8)
  agent.value = noise if free_kb == 1000 else np.full(1000, 3, np.uint8)
  ballast = small_disk / "ballast"
  _fill(ballast, os.statvfs(small_disk).f_bavail * 4096 - free_kb * 1024)
  checkpoint.save(3)
  with pytest.raises(checkpoint_lib.SaveError) as caught:
    checkpoint.wait()
  assert f"step 3 to {root} failed" in str(caught.value)
  assert "no space left on the disk" in str(caught.value)
  assert checkpoint.verify() == {1: [], 2: []}
  assert directory.foreign(root) == ["000000001", "000000002"]
  assert not list(root.glob("*.writing"))
  ballast.unlink()
  checkpoint.save(3)
  checkpoint.close()
  assert checkpoint.verify() == {1: [], 2: [], 3: []}
  stored = checkpoint_lib.read(root)["agent"]
  np.testing.assert_array_equal(stored, agent.value)


def _fill(path, size_bytes):
  with open(path, "wb") as file:
    os.posix_fallocate(file.fileno(), 0, size_bytes)
