"""The mesh is tested on 8 forced host devices, in a process of its own."""

import os
import subprocess
import sys
import textwrap

import jax
import numpy as np

from carnet import mesh


def test_one_device_is_the_same_code_path():
  one = mesh.make_mesh()
  batch = jax.device_put(np.ones((4, 3)), mesh.batch_sharding(one, 4))
  assert batch.sharding.mesh.shape == {"data": jax.device_count()}


def test_eight_devices_split_batches_and_large_leaves():
  code = textwrap.dedent("""
    import jax, numpy as np
    from carnet import errors, mesh
    eight = mesh.make_mesh()
    assert eight.size == 8, eight
    x = np.arange(16.0 * 5).reshape(16, 5)
    batch = jax.device_put(x, mesh.batch_sharding(eight, 16))
    assert batch.addressable_shards[3].data.shape == (2, 5)
    assert float(jax.jit(lambda b: b.sum())(batch)) == x.sum()
    tree = {"big": np.ones((512, 256)), "odd": np.ones((7, 50_001)),
            "small": np.ones((8, 8))}
    for fsdp, shard in ((True, (64, 256)), (False, (512, 256))):
      layout = mesh.state_shardings(eight, tree, fsdp)
      placed = jax.device_put(tree, layout)
      shapes = {k: v.addressable_shards[0].data.shape
                for k, v in placed.items()}
      assert shapes == {"big": shard, "odd": (7, 50_001), "small": (8, 8)}
    try:
      mesh.batch_sharding(eight, 12)
    except errors.UserError as error:
      assert "multiple of 8" in str(error)
    else:
      raise AssertionError("12 does not divide over 8")
  """)
  flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
  subprocess.run(
    [sys.executable, "-c", code], check=True, env=os.environ | flags
  )


def test_first_devices_only():
  assert mesh.make_mesh(1).size == 1
