"""What a passport leaves open: fields that are null, and who can fill them."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import pydantic

from carnet import terminal
from carnet.passport import schema

FILES = "generate-passport, from files that a launch of ours writes"
PHASE_2 = "generate-passport, second phase: it runs the policy"
LAUNCHER = "the launcher, before step 0: train, or scripts/dump_config.py"
PERSON = "a person, with generate-passport --setup FILE"

# path, where * is any index or key -> (who, what it is)
FILLED = {
  "generator": (FILES, "the program that wrote the passport"),
  "input_contract": (FILES, "what goes in and comes out"),
  "input_contract/images/*/physical_mounting": (
    PERSON,
    "where the camera sits, and where it looks",
  ),
  "input_contract/images/*/camera_serial": (PERSON, "which camera it is"),
  "input_contract/images/*/camera_usb_path": (
    PERSON,
    "the port that the camera is plugged into",
  ),
  "input_contract/state/sub_keys/*/unit": (PERSON, "rad, m, ..."),
  "input_contract/state/dataset_sub_keys/*/unit": (PERSON, "rad, m, ..."),
  "input_contract/actions/sub_keys/*/unit": (PERSON, "rad, m, ..."),
  "input_contract/temporal/control_hz": (
    PERSON,
    "how many actions a second; a simulation may have no such rate",
  ),
  "model_identity/class_name": (FILES, "the class of the model"),
  "model_identity/class_module": (FILES, "the module of that class"),
  "model_identity/library_versions": (PHASE_2, "versions of all libraries"),
  "model_identity/runtime_constraints": (
    PHASE_2,
    "versions and settings that must hold wherever it runs",
  ),
  "model_identity/runtime_constraints/jax_config": (
    PHASE_2,
    "settings that change random numbers and precision",
  ),
  "model_identity/environment": (PHASE_2, "Python, platform and device"),
  "model_identity/environment/lock_file_sha256": (
    PHASE_2,
    "digest of the lock file; needs one in the training repository",
  ),
  "model_internals/module_hierarchy": (PHASE_2, "the tree of modules"),
  "model_internals/parameters": (FILES, "how many parameters, of which type"),
  "model_internals/buffers": (FILES, "arrays beside the parameters"),
  "model_internals/state_dict": (PHASE_2, "stored keys against expected ones"),
  "model_internals/tree_digest": (PHASE_2, "identity of the content"),
  "model_internals/numerical_health": (PHASE_2, "two forwards, compared"),
  "model_internals/forward_graph": (PHASE_2, "arrays of one query"),
  "model_internals/pretrained_provenance/*/source_revision": (
    PERSON,
    "revision of the weights that were trained elsewhere",
  ),
  "model_internals/pretrained_provenance/*/file_sha256": (
    LAUNCHER,
    "digest of the weights that were trained elsewhere",
  ),
  "output_spec/smoke_results": (PHASE_2, "the five smoke tests"),
  "provenance/training_repo": (LAUNCHER, "the repository that trained it"),
  "provenance/training_commit": (LAUNCHER, "its commit"),
  "provenance/training_tree_dirty": (LAUNCHER, "whether it was as committed"),
  "provenance/deployment_repo": (
    PERSON,
    "the repository that will feed it: --target-repo; simulation has none",
  ),
  "provenance/deployment_repo_commit": (PERSON, "its commit: --target-repo"),
  "provenance/run_log_path": (LAUNCHER, "the log of the run"),
  "provenance/training_datasets/*/revision": (
    LAUNCHER,
    "which content the data had: a revision or a digest",
  ),
  "provenance/training_run/run_id": (LAUNCHER, "the name of the run"),
  "provenance/training_run/steps": (LAUNCHER, "how long it trained"),
  "provenance/training_run/seed": (LAUNCHER, "its seed"),
  "provenance/training_run/started_utc": (LAUNCHER, "when it began"),
  "provenance/training_run/finished_utc": (LAUNCHER, "when it ended"),
  "reference_test_vector": (
    PHASE_2,
    "real observations, and the actions they are answered with",
  ),
  "norm_round_trip_results": (PHASE_2, "every normalisation undone again"),
}

# last name of a field whose null is an answer -> what it says
ANSWERS = {
  "resize": "the picture is taken in its own size",
  "pad_value": "nothing is added around the picture",
  "normalization": "taken as it is",
  "factor": "the mode has none",
  "offset": "the mode has none",
  "clip": "nothing is clipped",
  "stats_fingerprint": "no statistics of the data are used",
  "dataset_sub_keys": "the layout of the data is that of the network",
  "low": "not bounded",
  "high": "not bounded",
  "language": "takes no prompt",
  "recurrent": "carries nothing from step to step",
  "matmul_precision": "the default of the platform",
  "image_digest": "no container",
  "reference_mean": "no statistics of actions to compare with",
  "reference_std": "no statistics of actions to compare with",
  "max_z": "no statistics of actions to compare with",
  "step": "the files do not count steps",
  "training_diff_sha256": "nothing was changed since the commit",
  "training_package": "it ran from a repository",
  "env_versions": "no environment",
  "parent_passport_sha256": "the parent has no passport",
  "parent_tree_sha256": "the parent's content is not known",
  "dtype": "takes any numbers",
  "constants": "statistics of a file take their place",
  "statistics": "constants take their place",
  "temporal_ensemble_coefficient": "chunks are not averaged",
  "input_state_path": "the policy takes no state",
  "input_state_hash": "the policy takes no state",
  "input_images_path": "the policy takes no pictures",
  "input_prompt": "the policy takes no prompt",
  "check_id": "a person has to look",
}


@dataclasses.dataclass(frozen=True)
class Gap:
  """Fields that are null, one or several of a kind.

  Attributes:
    path: where in the passport; * is any index.
    count: how many there are.
    who: can fill them.
    what: they are.
  """

  path: str
  count: int
  who: str
  what: str


def find(passport: schema.Passport) -> tuple[Gap, ...]:
  """Returns what is open, in the order of the passport."""
  counts = collections.Counter(_nulls(passport, ""))
  return tuple(
    Gap(path, count, *FILLED[path])
    for path, count in counts.items()
    if path in FILLED
  )


def text(passport: schema.Passport) -> str:
  """Returns what is open as lines, grouped by who can fill it."""
  found = find(passport)
  if not found:
    return "no field is left open"
  lines = [f"{sum(gap.count for gap in found)} fields are left open:"]
  width = max(len(_name(gap)) for gap in found)
  for who in (FILES, PHASE_2, LAUNCHER, PERSON):
    rows = [gap for gap in found if gap.who == who]
    if rows:
      lines.append(f"by {who}")
    lines += [f"  {_name(gap):<{width}}  {gap.what}" for gap in rows]
  return "\n".join(map(terminal.printable, lines))


def _name(gap: Gap) -> str:
  return gap.path + (f" ({gap.count})" if gap.count > 1 else "")


def _nulls(value: Any, path: str) -> Iterator[str]:
  """Yields the path of every null below models; free JSON has its own."""
  if value is None:
    yield path
  elif isinstance(value, pydantic.BaseModel):
    for name in type(value).model_fields:
      inner = f"{path}/{name}" if path else name
      yield from _nulls(getattr(value, name), inner)
  elif isinstance(value, tuple):
    for item in value:
      yield from _nulls(item, f"{path}/*")
