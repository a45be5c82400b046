"""Provenance made again from what was recorded, to be compared."""

from carnet import errors, run_context
from carnet.passport import context, difference
from carnet.passport.checks import contract
from carnet.passport.static import files, given
from carnet.passport.static import provenance as static_provenance

# flags of generate-passport tell these where no launch did
_BY_FLAG = ("deployment_repo", "deployment_repo_commit")
_CODE = (
  *("training_repo", "training_commit", "training_tree_dirty"),
  *("training_diff_sha256", "training_package"),
)


def differences(
  found: context.Context, launch: run_context.Context | None
) -> list[difference.Difference]:
  """Returns where the passport says something else than the records.

  Raises:
    UserError: there is no config.json.
  """
  if files.CONFIG not in found.digests:
    raise errors.UserError(f"there is no {files.CONFIG}")
  config = found.json(found.passport.provenance.config_path)
  again = contract.plain(
    static_provenance.provenance(
      found, given.Given(), config if isinstance(config, dict) else {}, launch
    )
  )
  present = contract.plain(found.passport.provenance)
  silent = _silent(launch, found.manifest is not None)
  rows: list[difference.Difference] = []
  for name, expected in again.items():
    if name not in silent:
      where = f"/provenance/{name}"
      rows += difference.differences(expected, present[name], where)
  rows = [row for row in rows if not _untold(row, launch)]
  return [*rows, *_model(found, launch), *_pretrained(found, launch)]


def _silent(
  launch: run_context.Context | None, has_manifest: bool
) -> tuple[str, ...]:
  """Returns the fields of which the records tell nothing."""
  names = [*_BY_FLAG]
  if launch is None or launch.training_repository.commit is None:
    names += _CODE
  if launch is None:
    names += ["run_log_path", "training_datasets"]
  elif not launch.datasets:
    names.append("training_datasets")
  if not has_manifest:
    names += ["training_run", "lineage"]
  return tuple(names)


def _untold(
  row: difference.Difference, launch: run_context.Context | None
) -> bool:
  """Without a launch, its part of the run is whatever the passport says."""
  if launch is not None:
    return False
  return row.expected is None and row.where.startswith(
    "/provenance/training_run/"
  )


def _model(
  found: context.Context, launch: run_context.Context | None
) -> list[difference.Difference]:
  if launch is None or launch.model is None:
    return []
  identity = found.passport.model_identity
  pairs = {
    "class_name": (launch.model.class_name, identity.class_name),
    "class_module": (launch.model.class_module, identity.class_module),
  }
  return [
    row
    for name, (expected, present) in pairs.items()
    for row in difference.differences(
      expected, present, f"/model_identity/{name}"
    )
  ]


def _pretrained(
  found: context.Context, launch: run_context.Context | None
) -> list[difference.Difference]:
  """Compares digests of parts trained elsewhere, where both tell."""
  recorded = {
    row.submodule: row.file_sha256
    for row in ((launch.pretrained or ()) if launch else ())
  }
  rows = found.passport.model_internals.pretrained_provenance
  return [
    difference.Difference(
      f"/model_internals/pretrained_provenance/{index}/file_sha256",
      recorded[row.submodule],
      row.file_sha256,
    )
    for index, row in enumerate(rows)
    if None not in (row.file_sha256, recorded.get(row.submodule))
    and recorded[row.submodule] != row.file_sha256
  ]
