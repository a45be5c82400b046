"""A small signed checkpoint of ours, with a passport written by hand.

    step = sample.checkpoint(tmp_path)          # a real step directory
    sample.write(step)                          # MODEL_PASSPORT.json
    sample.sign(step)                           # SIGNOFF.json
    sample.write(step, **{"input_contract/state/dim": 4})

Changes are JSON pointers without the first slash; the result must still be of
the schema. The policy is of the family "other": one camera, a state, actions.
"""

import hashlib
import json

import sample_contract
import sample_model
import sample_step
from sample_step import (
  ACTION,
  ACTIONS_PATH,
  CAMERA,
  COMMIT,
  FRAMES,
  FRAMES_PATH,
  HEIGHT,
  HORIZON,
  LOG,
  MEAN,
  ROLES,
  STATE,
  STATES_PATH,
  STD,
  STEP,
  UTC,
  WIDTH,
  checkpoint,
  copy,
  frames,
)

from carnet.checkpoint import digest, directory
from carnet.passport import context, schema

__all__ = [
  "ACTION",
  "ACTIONS_PATH",
  "CAMERA",
  "COMMIT",
  "FRAMES",
  "FRAMES_PATH",
  "HEIGHT",
  "HORIZON",
  "LOG",
  "MEAN",
  "ROLES",
  "STATE",
  "STATES_PATH",
  "STD",
  "STEP",
  "UTC",
  "WIDTH",
  "checkpoint",
  "copy",
  "files",
  "frames",
  "passport",
  "sign",
  "signoff",
  "write",
]


def passport(step, **changes):
  """Returns a valid passport of the step as it lies there, with changes."""
  body = {
    "schema_version": "1.0",
    "generator": {
      "name": "sample",
      "version": "1.0",
      "argv": ["sample", "passport"],
      "created_utc": sample_step.UTC,
    },
    "family": "other",
    "input_contract": sample_contract.input_contract(step),
    "model_identity": sample_model.model_identity(),
    "model_internals": sample_model.model_internals(step),
    "output_spec": {
      "inference_parameters": {
        "chunk_size": sample_step.HORIZON,
        "n_action_steps": sample_step.HORIZON,
        "temporal_ensemble_coeff": None,
      },
      "smoke_results": sample_model.smoke_results(),
    },
    "weight_integrity": _weight_integrity(step),
    "provenance": _provenance(step),
    "transform_pipeline": sample_contract.pipeline(step),
    "reference_test_vector": _reference(step),
    "norm_round_trip_results": [_round_trip(index) for index in range(4)],
    "known_issues": [],
  }
  for pointer, value in changes.items():
    _change(body, pointer, value)
  return schema.Passport.model_validate_json(json.dumps(body))


def write(step, **changes):
  """Writes the passport of the step, with changes; returns it."""
  made = passport(step, **changes)
  (step / directory.PASSPORT).write_bytes(schema.encode(made))
  return made


def signoff(step, **changes):
  """Returns a sign-off of the passport that lies in the step, with changes."""
  found = schema.read(step / directory.PASSPORT)
  body = {
    "schema_version": "1.0",
    "passport_sha256": digest.file(step / directory.PASSPORT),
    "files": [
      row.model_dump(mode="json", exclude={"role"})
      for row in found.weight_integrity.weight_files
    ],
    "tree_digest_root": found.model_internals.tree_digest.root,
    "verdict": "pass",
    "reason": "all checks passed",
    "accepted_soft_checks": [],
    "not_checked": [],
    "validator": {"name": "sample", "version": "1.0", "platform": "linux"},
    "signed_utc": sample_step.UTC,
  }
  for pointer, value in changes.items():
    _change(body, pointer, value)
  return schema.SignOff.model_validate_json(json.dumps(body))


def sign(step, **changes):
  """Writes the sign-off of the step, with changes; returns it."""
  made = signoff(step, **changes)
  (step / directory.SIGNOFF).write_bytes(schema.encode(made))
  return made


def files(step):
  """Returns the rows of all files of a directory but the papers."""
  return [
    {
      "path": name,
      "sha256": digest.file(step / name),
      "size_bytes": (step / name).lstat().st_size,
      "role": _role(name),
    }
    for name in sorted(directory.files(step))
    if name not in context.PAPERS
  ]


def _weight_integrity(step):
  leaves = directory.read_manifest(step).leaves
  return {
    "hash_algorithm": "sha256",
    "weight_files": files(step),
    "checkpoint_format": {
      "kind": "carnet",
      "item": "agent",
      "step": sample_step.STEP,
      "use_ocdbt": True,
      "use_zarr3": False,
      "declared_array_bytes": sum(leaf.size_bytes for leaf in leaves),
    },
  }


def _role(name):
  if name.startswith("assets/"):
    return "reference"
  if name.startswith("agent/") and "/d/" in name:
    return "weights"
  if name.startswith("loop/"):
    return "training_state"
  return sample_step.ROLES.get(name, "metadata")


def _provenance(step):
  return {
    "training_repo": "https://example.com/somewhere_else",
    "training_commit": sample_step.COMMIT,
    "training_tree_dirty": False,
    "deployment_repo": None,
    "deployment_repo_commit": None,
    "config_sha256": digest.file(step / "config.json"),
    "config_path": "config.json",
    "run_log_path": sample_step.LOG,
    "training_datasets": [
      {
        "id": "sample_demonstrations",
        "revision": hashlib.sha256(b"sample").hexdigest(),
        "loader_class": "somewhere_else.data.Loader",
        "split": "episodes 0 to 9",
        "kind": "dataset",
      }
    ],
    "training_run": {
      "run_id": "0" * 32,
      "steps": sample_step.STEP,
      "seed": 0,
      "started_utc": "2026-01-02T01:04:05Z",
      "finished_utc": directory.read_manifest(step).created_utc,
    },
    "lineage": [],
  }


def _reference(step):
  shas = [
    digest.file(step / sample_step.frame(index))
    for index in range(sample_step.FRAMES)
  ]
  return {
    "n_frames": sample_step.FRAMES,
    "source_dataset": "sample_demonstrations",
    "episode": 0,
    "input_state_path": sample_step.STATES_PATH,
    "input_state_hash": digest.file(step / sample_step.STATES_PATH),
    "input_images_path": sample_step.FRAMES_PATH,
    "input_images_hash": {"top": shas},
    "input_prompt": None,
    "expected_actions_path": sample_step.ACTIONS_PATH,
    "expected_actions_hash": digest.file(step / sample_step.ACTIONS_PATH),
    "prng_seed": 0,
    "atol": 1e-4,
    "rtol": 1e-4,
  }


def _round_trip(index):
  return {
    "step_index": index,
    "max_abs_error": 1e-7,
    "tolerance": 1e-5,
    "within_clip_bound": True,
    "status": "pass",
  }


def _change(body, pointer, value):
  *above, last = pointer.split("/")
  node = body
  for name in above:
    node = node[int(name) if isinstance(node, list) else name]
  node[int(last) if isinstance(node, list) else last] = value
