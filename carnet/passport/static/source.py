"""Whether the code that measures a policy is the code that trained it.

The process that measures tells of its own code; `issues` compares. What git
did not tell, there or at the launch, is no claim that the code is another.
"""

import importlib.util
import pathlib

from carnet import repository, run_context, sources
from carnet.passport import family, history, measured, schema

CHECK = "model_source_at_commit"


def present(class_module: str | None) -> measured.Code | None:
  """Returns the code of an installed family, as imported here.

  None for what runs a foreign policy: that program is not asked.

  Args:
    class_module: the module of the model's class.
  """
  package = (class_module or "").partition(".")[0]
  known = {entry.module for entry in family.entries(family.GROUP)}
  module = next((x for x in known if x.partition(".")[0] == package), None)
  spec = importlib.util.find_spec(module) if module else None
  if spec is None or not spec.has_location or spec.origin is None:
    return None
  place = pathlib.Path(spec.origin)
  return measured.Code(
    repository=sources.code(place), sources=sources.identity(place)
  )


def told(
  found: schema.Passport, path: pathlib.Path, code: measured.Code | None
) -> schema.Passport:
  """Returns a passport that names the code which measured, if it is another.

  Args:
    found: before it is complete.
    path: the checkpoint.
    code: of the process that measured.
  """
  launch = run_context.read(path)
  trained = launch.training_repository if launch else None
  fresh = issues(trained, code)
  ids = {row.id for row in fresh}  # in the place of what the caller gave
  kept = tuple(row for row in found.known_issues if row.id not in ids)
  return found.model_copy(update={"known_issues": (*kept, *fresh)})


def issues(
  trained: repository.Repository | None, code: measured.Code | None
) -> tuple[history.KnownIssue, ...]:
  """Returns a known issue where other code measured than trained.

  Args:
    trained: the code of the training, as captured at its launch.
    code: of the process that measured.
  """
  if trained is None or code is None or not _differ(trained, code):
    return ()
  now = _name(code.repository)
  return (
    history.KnownIssue(
      id="measured-with-other-code",
      title=f"trained with {_name(trained)}, measured with {now}",
      severity="medium",
      affected="all",
      workaround="check the code of the training out, and generate-passport",
      check_type="code",
      check_id=CHECK,
    ),
  )


def _differ(trained: repository.Repository, code: measured.Code) -> bool:
  now = code.repository
  if trained.commit is None and sources.is_identity(trained.package or ""):
    return trained.package != code.sources  # however it is known here
  if _is_unknown(trained) or _is_unknown(now):
    return False
  if trained.commit is None or now.commit is None:
    return _wheel(trained) != _wheel(now)
  if trained.commit != now.commit:
    return True
  if _changes_unknown(trained) or _changes_unknown(now):
    return False
  return (trained.diff_sha256, trained.package) != (
    now.diff_sha256,
    now.package,
  )


def _is_unknown(code: repository.Repository) -> bool:
  """Tells whether neither git nor an installer told anything."""
  return code.commit is None and (
    code.package is None or sources.is_identity(code.package)
  )


def _changes_unknown(code: repository.Repository) -> bool:
  """Tells whether git told the commit, and not what differs from it."""
  changed = code.diff_sha256 is not None or code.untracked
  return code.dirty is None or (code.dirty and not changed)


def _wheel(
  code: repository.Repository,
) -> tuple[str | None, str | None, str | None]:
  return code.commit, code.package, code.record_sha256


def _name(code: repository.Repository) -> str:
  if code.commit is None:
    files = f" (files {(code.record_sha256 or '?')[:12]})"
    return f"{code.package}{files if code.record_sha256 else ''}"
  parts = [f"commit {code.commit[:12]}"]
  if code.dirty and code.diff_sha256:
    parts.append(f"changes {code.diff_sha256[:12]}")
  if code.package:
    parts.append("modules that git does not know")
  return " and ".join(parts)
