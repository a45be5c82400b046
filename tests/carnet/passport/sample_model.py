"""What the sample passport says of its model."""

import numpy as np
import sample_step

from carnet.checkpoint import digest, directory


def model_identity():
  return {
    "class_name": "Policy",
    "class_module": "somewhere_else.policy",
    "library_versions": {"numpy": np.__version__},
    "runtime_constraints": {
      "required_versions": {"numpy": ">=2.0"},
      "known_incompatible": [],
      "jax_config": None,
    },
    "environment": {
      "python": "3.11.7",
      "platform": "linux-x86_64",
      "device_kind": "cpu",
    },
  }


def model_internals(step):
  found = directory.read_manifest(step)
  names = {leaf.path: leaf.sha256 for leaf in found.leaves}
  weights = sum(x.size_bytes for x in found.leaves) // 4 - 1
  images, actions = (
    [sample_step.HEIGHT, sample_step.WIDTH, 3],
    [sample_step.HORIZON, sample_step.ACTION],
  )
  return {
    "module_hierarchy": {"params": {"image": 15, "state": 15, "head": 48}},
    "parameters": {
      "total_params": weights + 1,
      "trainable": weights,
      "frozen": 1,
      "bytes": 4 * (weights + 1),
      "dtype_breakdown": {"float32": weights, "int32": 1},
    },
    "buffers": [
      {
        "path": "agent/count",
        "shape": [],
        "dtype": "int32",
        "collection": "count",
      }
    ],
    "state_dict": {
      "expected_keys_count": len(names),
      "found_keys_count": len(names),
      "missing_keys": [],
      "unexpected_keys": [],
      "dtype_mismatch": [],
    },
    "tree_digest": {
      "algorithm": "carnet-leaf-sha256-v1",
      "leaf_count": len(names),
      "root": digest.tree(names.items()),
      "leaves": names,
    },
    "numerical_health": {
      "max_abs_diff": 0.0,
      "n_nan": 0,
      "n_inf": 0,
      "weights_finite": True,
      "platform": "cpu",
    },
    "pretrained_provenance": [],
    "forward_graph": {
      "inputs": {
        sample_step.CAMERA: {"shape": images, "dtype": "float32"},
        "state": {"shape": [sample_step.STATE], "dtype": "float32"},
      },
      "outputs": {"action": {"shape": actions, "dtype": "float32"}},
    },
  }


def smoke_results():
  low, high = (
    sample_step.block(sample_step.ACTION, 1.0)[name] for name in ("min", "max")
  )
  mean, std = (
    sample_step.block(sample_step.ACTION, 1.0)[name] for name in ("mean", "std")
  )
  return {
    "entry_point": "somewhere_else.policy.Policy.act",
    "calibration_seed": 0,
    "determinism": {
      "n_runs": 2,
      "prng_seed": 0,
      "prng_impl": "threefry2x32",
      "max_abs_diff": 0.0,
      "platform": "cpu",
      "status": "pass",
    },
    "nan_inf": {
      **{"n_values": 64, "n_nan": 0, "n_inf": 0},
      "checked": ["action"],
      "status": "pass",
    },
    "liveness": {
      "n_inputs": 4,
      "min_pairwise_output_diff": 0.125,
      "dead_output_dims": [],
      "input_sensitivity": {sample_step.CAMERA: 0.5, "state": 0.25},
      "status": "pass",
    },
    "distribution": {
      "n_samples": 8,
      **{"mean": mean, "std": std, "min": low, "max": high},
      **{"reference_mean": mean, "reference_std": std},
      **{"max_z": 0.0, "allowed_z": 4.0, "status": "pass"},
    },
    "range_check": {
      "bound_source": "action_stats",
      **{"low": low, "high": high},
      **{"n_violations": 0, "worst": 0.0, "status": "pass"},
    },
  }
