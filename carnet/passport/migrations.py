"""Passports of older schemas, brought to the present one.

Version 0.1 and 0.2 are those of the specification that this format grew from.
0.1 had `delta_dims` as free text; 0.2 dropped `parameters.by_name` and the
quantiles of each dimension (`per_dim_q02`, `per_dim_q98`).
"""

import copy
from typing import Any

from carnet import errors

CURRENT = "1.0"
KNOWN = ("0.1", "0.2", CURRENT)


def upgrade(found: Any, where: str) -> dict[str, Any]:
  """Returns the document as the present schema has it.

  Raises:
    UserError: no object, or of a version that this carnet does not know.
  """
  if not isinstance(found, dict):
    raise errors.UserError(f"{where} is no JSON object")
  version = found.get("schema_version")
  if version not in KNOWN:
    raise errors.UserError(
      f"{where} has schema_version {version!r}; this carnet reads "
      f"{', '.join(KNOWN)}: install the version that wrote it"
    )
  document = copy.deepcopy(found)
  if version == "0.1":
    _from_0_1(document)
  if version in ("0.1", "0.2"):
    _from_0_2(document)
  return document


def _from_0_1(document: dict[str, Any]) -> None:
  """A reason in free text: nothing was relative, as it then said."""
  actions = document.get("input_contract", {}).get("actions", {})
  reason = actions.get("delta_dims")
  if isinstance(reason, str):
    actions["delta_dims"] = {
      "delta_mask": [False] * actions.get("dim", 0),
      "absolute_dims_reason": reason,
    }
  document["schema_version"] = "0.2"


def _from_0_2(document: dict[str, Any]) -> None:
  internals = document.get("model_internals", {})
  parameters = internals.get("parameters")
  if isinstance(parameters, dict):
    parameters.pop("by_name", None)
    internals["parameters"] = parameters.get("summary", parameters)
  for part in _norm_specs(document.get("input_contract", {})):
    part.pop("per_dim_q02", None)
    part.pop("per_dim_q98", None)
  document["schema_version"] = CURRENT


def _norm_specs(input_contract: dict[str, Any]) -> list[dict[str, Any]]:
  parts = [
    *input_contract.get("images", ()),
    input_contract.get("state") or {},
    input_contract.get("actions") or {},
  ]
  found = [part.get("normalization") for part in parts]
  specs = [spec for spec in found if isinstance(spec, dict)]
  return specs + [
    spec["stats_fingerprint"]
    for spec in specs
    if isinstance(spec.get("stats_fingerprint"), dict)
  ]
