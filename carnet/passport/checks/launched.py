"""Provenance made again from what was recorded, to be compared."""

from collections.abc import Iterator

from carnet import errors, run_context, sources
from carnet.passport import context, difference, history, outcome
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
  silent = _silent(found, launch)
  rows: list[difference.Difference] = []
  for name, expected in again.items():
    if name not in silent:
      where = f"/provenance/{name}"
      rows += difference.differences(expected, present[name], where)
  rows = [row for row in rows if not _untold(row, launch)]
  return [*rows, *_model(found, launch), *_pretrained(found, launch)]


def other_code(
  told: history.Provenance, launch: run_context.Context | None
) -> Iterator[outcome.Finding]:
  """Yields why the code may not have been what the passport names."""
  for row in launch.resumptions if launch else ():
    known = (told.training_commit, told.training_package)
    if row.dirty or (row.commit, row.package) != known:
      here = f"commit {row.commit}" if row.commit else "other files"
      yield outcome.failed(
        f"step {row.step} was resumed with "
        + ("changed code" if row.dirty else here),
        run_context.NAME,
        told.training_commit or told.training_package or "",
        row.commit or row.package or "",
        "train again, or accept it with sign-checkpoint --reason",
      )
  package = told.training_package or ""
  if not told.training_commit and sources.is_identity(package):
    yield outcome.failed(
      "the code lay in no git repository: nobody can look it up, or tell "
      f"whether it had changes ({package})",
      "/provenance/training_commit",
      remedy="train from a clone, or accept it with sign-checkpoint --reason",
    )


def _silent(
  found: context.Context, launch: run_context.Context | None
) -> tuple[str, ...]:
  """Returns the fields of which the records tell nothing."""
  names = [*_BY_FLAG]
  code = launch.training_repository if launch else None
  if code is None or code.commit is None:
    # --training-repo tells the commit where there is a package as well
    by_flag = found.passport.provenance.training_commit is not None
    if code is None or code.package is None or by_flag:
      names += _CODE
  if launch is None:
    names += ["run_log_path", "training_datasets"]
  elif not launch.datasets:
    names.append("training_datasets")
  if found.manifest is None:
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
