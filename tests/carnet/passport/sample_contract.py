"""The sample passport's way from sensor to model and back to commands."""

import sample_step

from carnet.checkpoint import digest


def input_contract(step):
  bounds = sample_step.block(sample_step.ACTION, 1.0)
  return {
    "images": [
      {
        "key": sample_step.CAMERA,
        "short_key": "top",
        "shape": [sample_step.HEIGHT, sample_step.WIDTH, 3],
        "resize": None,
        "color": "RGB",
        "layout": "HWC",
        "dtype": "uint8",
        "value_range": [0.0, 255.0],
        "normalization": {"mode": "imagenet"},
      }
    ],
    "state": {
      "dim": sample_step.STATE,
      "sub_keys": _sub_keys("waist", "elbow", "wrist"),
      "normalization": _mean_std(step, "state"),
    },
    "actions": {
      "dim": sample_step.ACTION,
      "horizon": sample_step.HORIZON,
      "n_action_steps": sample_step.HORIZON,
      "kind": "continuous",
      "low": bounds["min"],
      "high": bounds["max"],
      "sub_keys": _sub_keys("elbow", "wrist"),
      "norm_mask": [True] * sample_step.ACTION,
      "delta_dims": {
        "delta_mask": [False] * sample_step.ACTION,
        "absolute_dims_reason": "joint positions are commanded as they are",
      },
      "normalization": _mean_std(step, "action"),
    },
    "language": None,
    "temporal": {
      "n_obs_steps": 1,
      "observation_delta_indices": [0],
      "control_hz": 50.0,
      "action_repeat": 1,
    },
    "recurrent": None,
  }


def pipeline(step):
  constants = {"mean": sample_step.MEAN, "std": sample_step.STD}
  of_file = {"std_floor": 0.01, "epsilon": 0.0}
  state = {"statistics": fingerprint(step, "state"), **of_file}
  action = {"statistics": fingerprint(step, "action"), **of_file}
  imagenet = {"constants": constants, "std_floor": 0.0, "epsilon": 0.0}
  chunk = {
    "horizon": sample_step.HORIZON,
    "n_action_steps": sample_step.HORIZON,
    "temporal_ensemble_coefficient": None,
  }
  scale = {"divisor": 255.0, "offset": 0.0}
  return [
    _step(0, "pre", sample_step.CAMERA, "scale", scale),
    _step(1, "pre", sample_step.CAMERA, "standardize", imagenet),
    _step(2, "pre", "state", "standardize", state),
    _step(3, "post", "action", "unstandardize", action),
    _step(4, "post", "action", "execute_chunk", chunk, invertible=False),
  ]


def fingerprint(step, key):
  sha256 = digest.file(step / "stats.json")
  return {"file": "stats.json", "key": key, "file_sha256": sha256}


def _mean_std(step, key):
  return {
    "mode": "mean_std",
    "epsilon": 0.0,
    "std_floor": 0.01,
    "stats_fingerprint": fingerprint(step, key),
  }


def _sub_keys(*names):
  return [
    {"name": name, "start": index, "stop": index + 1, "unit": "rad"}
    for index, name in enumerate(names)
  ]


def _step(index, stage, key, op, params, invertible=True):
  return {
    "index": index,
    "stage": stage,
    "op": op,
    "params": params,
    "input_key": key,
    "output_key": key,
    "invertible": invertible,
    "code_ref": f"somewhere_else.policy.{op}",
  }
