"""The public names, and what reading a manifest costs."""

import subprocess
import sys

import pytest

from carnet import checkpoint


def test_every_public_name_exists():
  for name in checkpoint.__all__:
    assert getattr(checkpoint, name).__name__ == name
  with pytest.raises(AttributeError, match="no attribute 'Checkpont'"):
    _ = checkpoint.Checkpont


def test_manifests_are_read_without_jax():
  program = (
    "import sys\n"
    "from carnet import checkpoint\n"
    "from carnet.checkpoint import directory, manifest, retention, signals\n"
    "heavy = {'jax', 'flax', 'orbax', 'tensorstore'} & set(sys.modules)\n"
    "sys.exit(str(heavy) if heavy else 0)\n"
  )
  done = subprocess.run([sys.executable, "-c", program], capture_output=True)
  assert done.returncode == 0, done.stderr
