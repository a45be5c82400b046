"""The files of the sample: a real step directory and reference data."""

import shutil

import numpy as np
import PIL.Image

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import directory

STEP = 30
FRAMES = 10
HEIGHT, WIDTH = 12, 16
STATE, ACTION, HORIZON = 3, 2, 4
CAMERA = "images/top"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
LOG = "TRAINING_LOG.md"
FRAMES_PATH = "assets/reference_frames"
STATES_PATH = "assets/reference_test_vector/input_states.npy"
ACTIONS_PATH = "assets/reference_test_vector/expected_actions.npy"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
UTC = "2026-01-02T03:04:05Z"
ROLES = {
  "config.json": "config",
  "stats.json": "norm_stats",
  LOG: "log",
}


def checkpoint(path):
  """Saves a step below `path` and adds reference data; returns the step."""
  root = path / "checkpoints"
  with checkpoint_lib.Checkpoint(root, verbose=False) as saved:
    saved.register("agent", {"params": _params(), "count": np.int32(STEP)})
    saved.register("loop", {"next_index": STEP})
    for name, content in _documents().items():
      saved.attach(name, content)
    saved.save(STEP, {"loss": 0.25})
  step = root / directory.step_name(STEP)
  _write_reference(step)
  return step


def copy(step, path):
  """Copies a step, so that a test may change it; returns the copy."""
  target = path / "checkpoints" / step.name
  shutil.copytree(step, target, symlinks=True)
  return target


def frames():
  """Returns pictures like a slow pan over something smooth: [F, H, W, 3]."""
  rng = np.random.default_rng(1)
  frame, row, column = np.meshgrid(
    np.arange(FRAMES), np.arange(HEIGHT), np.arange(WIDTH), indexing="ij"
  )
  waves = [
    np.sin((row + shift) / 4) * np.cos((column + frame + shift) / 5)
    for shift in range(3)
  ]
  smooth = 128 + 90 * np.stack(waves, axis=-1)
  return (smooth + rng.normal(scale=2.0, size=smooth.shape)).astype(np.uint8)


def block(size, offset):
  """Returns statistics of a feature of `size` elements."""
  ramp = np.arange(size) + offset
  rows = {
    "mean": ramp / 8,
    "std": 0.25 + ramp / 16,
    **{"min": ramp / 8 - 2.0, "max": ramp / 8 + 2.0},
    **{"q01": ramp / 8 - 1.5, "q99": ramp / 8 + 1.5},
    **{"q10": ramp / 8 - 1.0, "q90": ramp / 8 + 1.0},
  }
  return {name: values.tolist() for name, values in rows.items()}


def _params():
  rng = np.random.default_rng(0)
  return {
    "image": {"kernel": rng.normal(size=(3, 5)).astype(np.float32)},
    "state": {"kernel": rng.normal(size=(STATE, 5)).astype(np.float32)},
    "head": {
      "kernel": rng.normal(size=(5, HORIZON * ACTION)).astype(np.float32),
      "bias": rng.normal(size=HORIZON * ACTION).astype(np.float32),
    },
  }


def _documents():
  config = {
    "agent": "somewhere_else",
    "image_size": [HEIGHT, WIDTH],
    "state_dim": STATE,
    "action_dim": ACTION,
    "chunk_size": HORIZON,
    "observation_delta_indices": [0],
    "control_hz": 50.0,
    "passport": {
      "roles": {"stats.json": "norm_stats"},
      "trainable": "agent/params/.*",
    },
  }
  blocks = {"state": block(STATE, 0.0), "action": block(ACTION, 1.0)}
  log = b"# Training log\n\nstep 30, loss 0.25\n"
  return {"config.json": config, "stats.json": blocks, LOG: log}


def _write_reference(step):
  (step / FRAMES_PATH).mkdir(parents=True)
  (step / STATES_PATH).parent.mkdir()
  for index, pixels in enumerate(frames()):
    PIL.Image.fromarray(pixels).save(step / frame(index))
  ramp = np.linspace(-0.2, 0.2, FRAMES, dtype=np.float32)[:, None]
  state = np.asarray(block(STATE, 0.0)["mean"], np.float32)
  action = np.asarray(block(ACTION, 1.0)["mean"], np.float32)
  np.save(step / STATES_PATH, state[None] + ramp)
  np.save(step / ACTIONS_PATH, action[None] + ramp)


def frame(index):
  """Returns the path of a reference picture."""
  return f"{FRAMES_PATH}/top_{index:03d}.png"
