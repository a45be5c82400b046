"""What a launch captures, and a passport is not issued without.

Nothing is guessed: what is missing is asked for, or left open with a reason
that becomes a known issue.
"""

from carnet import errors
from carnet.passport import history, schema
from carnet.passport.static import given

# what it is called on the command line -> how it is told
HOW = {
  "training_commit": "generate-passport --training-repo PATH",
  "training_datasets": (
    "generate-passport --dataset-repo ID@REVISION --loader-class NAME"
  ),
  "model_class": "scripts/dump_config.py --class=module:Class",
  "pretrained_revision": "source_revisions in a --setup FILE",
  "run_log": "scripts/dump_config.py --run_log",
}


def settle(found: schema.Passport, told: given.Given) -> schema.Passport:
  """Returns a draft of which nothing is missing, but what may be.

  Raises:
    UserError: something else is missing, or no reason is given.
  """
  for name in told.allow_missing:
    if name not in HOW:
      raise errors.unknown("field of --allow-missing", name, HOW)
  if bool(told.allow_missing) != bool(told.reason.strip()):
    raise errors.UserError("give --allow-missing and --reason together")
  if not told.reason.isprintable():
    raise errors.UserError("--reason is one line")
  absent = missing(found)
  refused = [name for name in absent if name not in told.allow_missing]
  if refused:
    raise errors.UserError(
      "nobody recorded at launch: "
      + "; ".join(f"{name} ({HOW[name]} tells)" for name in refused)
      + "; or leave it open with --allow-missing FIELD --reason TEXT"
    )
  issues = tuple(_issue(name, told.reason) for name in absent)
  return found.model_copy(
    update={"known_issues": (*found.known_issues, *issues)}
  )


def missing(found: schema.Passport) -> tuple[str, ...]:
  """Returns what of `HOW` a draft does not tell."""
  came = found.provenance
  rows = came.training_datasets
  pretrained = found.model_internals.pretrained_provenance
  identity = found.model_identity
  told = {
    "training_commit": came.training_commit or came.training_package,
    "training_datasets": rows and all(map(_is_identified, rows)),
    "model_class": identity.class_name and identity.class_module,
    "pretrained_revision": all(
      row.source_revision or row.file_sha256 for row in pretrained
    ),
    "run_log": came.run_log_path,
  }
  return tuple(name for name, value in told.items() if not value)


def _is_identified(row: history.Dataset) -> bool:
  return bool(row.revision or row.env_versions)


def _issue(name: str, reason: str) -> history.KnownIssue:
  return history.KnownIssue(
    id=f"missing-{name}",
    title=f"{name} was not recorded at launch",
    severity="medium",
    affected="all",
    workaround=reason.strip(),
    check_type="human",
  )
