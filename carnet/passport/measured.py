"""What running a policy told, and how it completes a passport.

A fresh process measures (`carnet.passport.dynamic.extract`); this one has no
JAX and only fills what was still None.
"""

import re

from carnet import errors, repository
from carnet.checkpoint import manifest
from carnet.passport import fields, history, model, schema
from carnet.passport.static import internals as static_internals

NAME = "measured.json"
PINNED = ("carnet", "jax", "jaxlib", "flax", "numpy")


class Code(fields.Model):
  """The code of a family, as the process that measures imports it.

  Attributes:
    repository: as a launch captures it (`carnet.sources.code`).
    sources: of `carnet.sources.identity`.
  """

  repository: repository.Repository
  sources: fields.Text


class Measured(fields.Model):
  """The dynamic half; `code` is None for another program's policy."""

  code: Code | None
  library_versions: dict[fields.Name, fields.Name]
  jax_config: model.JaxConfig
  environment: model.Environment
  module_hierarchy: dict[fields.Name, dict[fields.Name, fields.Count]]
  leaves: tuple[manifest.Leaf, ...]
  state_dict: model.StateDict
  numerical_health: model.NumericalHealth
  smoke_results: model.SmokeResults
  reference_test_vector: history.ReferenceVector | None
  norm_round_trip_results: tuple[history.RoundTrip, ...]


def complete(
  draft: schema.Passport,
  found: Measured,
  files: tuple[history.File, ...],
  trainable: str,
) -> schema.Passport:
  """Returns the draft with what was measured in the place of None.

  Args:
    draft: of `static.draft`.
    found: of the fresh process.
    files: listed anew, since reference frames were written.
    trainable: regular expression; leaves that training updates.

  Raises:
    UserError: a measurement contradicts what files tell.
  """
  told = draft.model_identity.runtime_constraints
  constraints = model.RuntimeConstraints(
    required_versions=_pins(found.library_versions),
    known_incompatible=told.known_incompatible if told else (),
    jax_config=found.jax_config,
  )
  identity = draft.model_identity.model_copy(
    update={
      "library_versions": found.library_versions,
      "runtime_constraints": constraints,
      "environment": found.environment,
    }
  )
  integrity = draft.weight_integrity.model_copy(
    update={"weight_files": files, "checkpoint_format": _format(draft, found)}
  )
  output_spec = draft.output_spec.model_copy(
    update={"smoke_results": found.smoke_results}
  )
  return draft.model_copy(
    update={
      "model_identity": identity,
      "model_internals": _internals(draft, found, trainable),
      "output_spec": output_spec,
      "weight_integrity": integrity,
      "reference_test_vector": found.reference_test_vector,
      "norm_round_trip_results": found.norm_round_trip_results,
    }
  )


def _internals(
  draft: schema.Passport, found: Measured, trainable: str
) -> model.ModelInternals:
  told = draft.model_internals
  update = {
    "module_hierarchy": found.module_hierarchy,
    "state_dict": found.state_dict,
    "numerical_health": found.numerical_health,
  }
  if told.tree_digest is not None:
    _check_content(told.tree_digest, found)
    return told.model_copy(update=update)
  kept = [x for x in found.leaves if not re.fullmatch(trainable, x.path)]
  return told.model_copy(
    update={
      **update,
      "parameters": static_internals.parameters(found.leaves, trainable),
      "buffers": static_internals.buffers(kept),
      "tree_digest": static_internals.tree_digest(found.leaves),
    }
  )


def _check_content(told: model.TreeDigest, found: Measured) -> None:
  for leaf in found.leaves:
    if told.leaves.get(leaf.path) != leaf.sha256:
      raise errors.UserError(
        f"leaf {leaf.path} of the running policy is not what the manifest "
        "lists: the checkpoint changed, or its loader does"
      )


def _format(draft: schema.Passport, found: Measured) -> history.Format:
  held = draft.weight_integrity.checkpoint_format
  if held.kind == "carnet":
    return held
  size = sum(leaf.size_bytes for leaf in found.leaves)
  return held.model_copy(update={"declared_array_bytes": size})


def _pins(versions: dict[str, str]) -> dict[str, str]:
  """Returns pins to the minor version of what computes the actions."""
  required = {}
  for name in PINNED:
    if name in versions:
      major, minor = [*versions[name].split("."), "0"][:2]
      required[name] = f"=={major}.{minor}.*"
  return required
