"""What the policy is to be fed: complete, of one piece, as configured."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pydantic

from carnet.passport import context, difference, family, outcome
from carnet.passport import contract as contract_lib
from carnet.passport.checks import contract_shapes, dataset, devices, parts

# what people fill in, and no file of a checkpoint tells
MANUAL = ("physical_mounting", "camera_serial", "camera_usb_path")
# where files tell nothing, a person may
_BY_HAND = ("/source_revision", "/file_sha256", "/unit", "/control_hz")
_AGENTS = {"act": "act", "dreamer": "dreamerv3"}  # config.json -> passport


def contract_present(found: context.Context) -> outcome.Finding:
  """Pass: there is a contract with an observation. Fail: there is none."""
  present = found.passport.input_contract
  if present is None:
    return outcome.failed(
      "nothing says how the policy is to be fed",
      "/input_contract",
      "an object",
      "null",
      parts.GENERATE,
    )
  if not present.images and not present.state.dim:
    return outcome.failed(
      "the policy sees neither a camera nor a state",
      "/input_contract",
      "an image, or a state of one dimension or more",
      "none",
      parts.GENERATE,
    )
  return outcome.passed(
    f"{len(present.images)} images, state of {present.state.dim}, actions "
    f"of {present.actions.dim}"
  )


def contract_matches_config(found: context.Context) -> outcome.Finding:
  """Pass: the passport says what the checkpoint's own files say.

  Compared are family, contract, inference parameters, forward graph, class,
  pipeline and pretrained parts. Fail: fields differ; each is listed. Not
  checked: the files say nothing, and no family that is installed reads them.
  What people fill in (mounting, serial, port, units) is not compared.
  """
  config = found.json(found.passport.provenance.config_path)
  if not isinstance(config, dict):
    return outcome.failed(
      "the configuration is no JSON object", "/provenance/config_path"
    )
  known = family.find(config)
  claimed = found.passport.family
  if known is not None:
    told = known.describe(found.path)
  elif _AGENTS.get(str(config.get("agent"))) == claimed:
    return outcome.not_checked(
      f"the family '{claimed}' is not installed here", "pip install carnet"
    )
  else:
    told = family.foreign(config)
  rows = differences(told, found)
  if rows:
    return parts.differ(rows, "the checkpoint's files")
  if told.input_contract is None:
    return outcome.not_checked(
      "config.json has no contract in a section 'passport', and no family that "
      "is installed reads it",
      "add the section in the training program, then generate-passport",
    )
  return outcome.passed("contract, inference and graph are as configured")


def differences(
  told: family.Description, found: context.Context
) -> list[difference.Difference]:
  """Returns where the passport is not as told; what is not told is no fault."""
  passport = found.passport
  steps = passport.transform_pipeline
  pairs = [
    ("/family", told.name, passport.family),
    ("/input_contract", told.input_contract, passport.input_contract),
    (
      "/output_spec/inference_parameters",
      told.inference_parameters or None,
      passport.output_spec.inference_parameters,
    ),
    ("/transform_pipeline", told.transform_pipeline or None, steps),
    (
      "/model_internals/forward_graph",
      told.forward_graph,
      passport.model_internals.forward_graph,
    ),
    (
      "/model_identity/class_name",
      told.class_name,
      passport.model_identity.class_name,
    ),
    (
      "/model_identity/class_module",
      told.class_module,
      passport.model_identity.class_module,
    ),
  ]
  rows: list[difference.Difference] = []
  for where, expected, present in pairs:
    if expected is not None:
      rows += difference.differences(plain(expected), plain(present), where)
  rows = difference.without(rows, MANUAL)
  return [row for row in [*rows, *_pretrained(told, found)] if not _added(row)]


def _added(row: difference.Difference) -> bool:
  """Tells whether a person told what no file does."""
  return row.expected is None and row.where.endswith(_BY_HAND)


def plain(value: Any) -> Any:
  """Returns a part of a passport as JSON has it."""
  if isinstance(value, pydantic.BaseModel):
    return value.model_dump(mode="json")
  if isinstance(value, list | tuple):
    return [plain(item) for item in value]
  return json.loads(json.dumps(value))


def _pretrained(
  told: family.Description, found: context.Context
) -> list[difference.Difference]:
  """Compares parts trained elsewhere."""
  if told.name == "other" and not told.pretrained:
    return []
  return difference.differences(
    plain(told.pretrained),
    plain(found.passport.model_internals.pretrained_provenance),
    "/model_internals/pretrained_provenance",
  )


@parts.with_contract
def sub_keys_cover_dim(
  found: context.Context, needed: contract_lib.InputContract
) -> outcome.Finding:
  """Pass: named slices follow each other and cover the vector. Fail: else."""
  vectors: list[tuple[str, Sequence[contract_lib.SubKey], int | None]] = [
    ("/input_contract/state/sub_keys", needed.state.sub_keys, needed.state.dim),
    (
      "/input_contract/actions/sub_keys",
      needed.actions.sub_keys,
      needed.actions.dim,
    ),
  ]
  if needed.state.dataset_sub_keys is not None:
    vectors.append(
      (
        "/input_contract/state/dataset_sub_keys",
        needed.state.dataset_sub_keys,
        None,
      )
    )
  faults = [fault for vector in vectors for fault in _gaps(*vector)]
  return outcome.first(
    faults, f"state 0..{needed.state.dim}, actions 0..{needed.actions.dim}"
  )


def _gaps(
  where: str, rows: Sequence[contract_lib.SubKey], dim: int | None
) -> Iterator[outcome.Finding]:
  end = 0
  for index, part in enumerate(rows):
    if part.start != end or part.stop <= part.start:
      yield outcome.failed(
        f"'{part.name}' is {part.start}..{part.stop} where {end} comes next",
        f"{where}/{index}",
        f"start {end}, stop above it",
        f"{part.start}..{part.stop}",
        parts.GENERATE,
      )
    end = part.stop
  names = [part.name for part in rows]
  if len(set(names)) < len(names):
    yield outcome.failed("a name is there twice", where, remedy=parts.GENERATE)
  if dim is not None and end != dim:
    yield outcome.failed(
      f"the slices cover {end} of {dim} dimensions",
      where,
      dim,
      end,
      parts.GENERATE,
    )


@parts.with_contract
def mask_len(
  found: context.Context, needed: contract_lib.InputContract
) -> outcome.Finding:
  """Pass: masks and bounds have one entry a dimension. Fail: another count."""
  actions = needed.actions
  rows = {
    "norm_mask": actions.norm_mask,
    "delta_dims/delta_mask": actions.delta_dims.delta_mask,
    "low": actions.low,
    "high": actions.high,
  }
  faults = [
    outcome.failed(
      f"{name} has {len(row)} entries, the action {actions.dim} dimensions",
      f"/input_contract/actions/{name}",
      actions.dim,
      len(row),
      parts.GENERATE,
    )
    for name, row in rows.items()
    if row is not None and len(row) != actions.dim
  ]
  faults += _crossed(actions)
  return outcome.first(faults, f"{actions.dim} entries each")


def _crossed(actions: contract_lib.Actions) -> list[outcome.Finding]:
  if (actions.low is None) != (actions.high is None):
    return [
      outcome.failed(
        "only one of low and high is given", "/input_contract/actions/low"
      )
    ]
  pairs = zip(actions.low or (), actions.high or (), strict=False)
  crossed = [index for index, (low, high) in enumerate(pairs) if low > high]
  if not crossed:
    return []
  return [
    outcome.failed(
      f"low is above high in the dimensions {crossed}",
      f"/input_contract/actions/low/{crossed[0]}",
      remedy=parts.GENERATE,
    )
  ]


@parts.with_contract
def delta_reason(
  found: context.Context, needed: contract_lib.InputContract
) -> outcome.Finding:
  """Pass: all dimensions are relative, or a text says why not. Fail: none."""
  delta = needed.actions.delta_dims
  absolute = sum(not relative for relative in delta.delta_mask)
  if absolute and not delta.absolute_dims_reason.strip():
    return outcome.failed(
      f"{absolute} dimensions are absolute and nothing says why",
      "/input_contract/actions/delta_dims/absolute_dims_reason",
      "a sentence",
      "nothing",
      parts.GENERATE,
    )
  return outcome.passed(
    f"{len(delta.delta_mask) - absolute} relative, {absolute} absolute"
  )


CHECKS = outcome.group(
  "contract",
  hard=(
    contract_present,
    contract_matches_config,
    sub_keys_cover_dim,
    mask_len,
    delta_reason,
    contract_shapes.delta_indices_match,
    contract_shapes.forward_shapes,
    contract_shapes.carry_matches,
    dataset.input_contract_vs_dataset,
    devices.device_mapping,
  ),
  soft=(contract_shapes.state_dim_consistency,),
  needs={"input_contract_vs_dataset": ("dataset",)},
)
