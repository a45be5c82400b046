"""This machine against the one on which the policy was measured."""

import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Iterator

from carnet.checkpoint import digest
from carnet.passport import context, model, outcome
from carnet.passport.checks import jax_here, parts, surroundings

_LOCK = "requirements.lock"


def installed(name: str) -> str | None:
  """Returns the version of Python or of a distribution, None if absent."""
  if name == "python":
    return platform.python_version()
  try:
    return importlib.metadata.version(name)
  except (importlib.metadata.PackageNotFoundError, ValueError):
    return None


def jax_config_match(found: context.Context) -> outcome.Finding:
  """Pass: JAX's settings are those of the measurement.

  Fail: one differs, by its environment variable or in the JAX that runs. Not
  checked: none are recorded, JAX is absent, or only a program can set them.
  """
  constraints = found.passport.model_identity.runtime_constraints
  if constraints is None or constraints.jax_config is None:
    return outcome.not_checked("no settings are recorded", parts.MEASURE)
  if installed("jax") is None:
    return outcome.not_checked("jax is not installed here")
  where = "/model_identity/runtime_constraints/jax_config"
  faults, unknown = [], []
  for row in jax_here.settings(constraints.jax_config):
    if row.state == "differs":
      why = f"{row.name} is {row.present!r} here, {row.recorded!r} was recorded"
      faults.append(
        outcome.failed(
          why, f"{where}/{row.name}", row.recorded, row.present, row.remedy
        )
      )
    elif row.state == "unknown":
      unknown.append(row)
  if not faults and unknown:
    names = ", ".join(row.name for row in unknown)
    return outcome.not_checked(
      f"{names}: not JAX's default, and nothing here sets it",
      "; ".join(row.remedy for row in unknown),
    )
  return outcome.first(faults, f"{jax_here.source()}: as recorded")


def env_lock_match(found: context.Context) -> outcome.Finding:
  """Pass: versions here are those of the measurement, and the lock is its own.

  Soft: some differ. Not checked: none are recorded, or none are installed.
  """
  identity = found.passport.model_identity
  recorded = identity.library_versions
  if not recorded:
    return outcome.not_checked("no versions are recorded", parts.MEASURE)
  here = {name: installed(name) for name in recorded}
  present = {name: x for name, x in here.items() if x is not None}
  if not present:
    return outcome.not_checked("none of the packages is installed here")
  faults = [
    outcome.failed(
      f"{name} is {x} here, {recorded[name]} was measured",
      f"/model_identity/library_versions/{name}",
      recorded[name],
      x,
      f"pip install -r {_LOCK}, from the commit of the training",
    )
    for name, x in present.items()
    if x != recorded[name]
  ]
  faults += _locks(found, identity.environment)
  return outcome.first(faults, f"{len(present)} of {len(recorded)} agree")


def _locks(
  found: context.Context, environment: model.Environment | None
) -> Iterator[outcome.Finding]:
  wanted = environment.lock_file_sha256 if environment else None
  if wanted is None:
    return
  files = found.passport.weight_integrity.weight_files
  digests = {f.path: f.sha256 for f in files if f.role == "lock"}
  target = found.options.target_repo
  if target and (target / _LOCK).is_file():
    digests[str(target / _LOCK)] = digest.file(target / _LOCK)
  for name, sha256 in digests.items():
    if sha256 != wanted:
      yield outcome.failed(
        f"{name} is not the lock file of the training",
        "/model_identity/environment/lock_file_sha256",
        wanted,
        sha256,
        "check out the commit of the training",
      )


def env_contamination(found: context.Context) -> outcome.Finding:
  """Pass: Python finds packages in its own environment alone.

  Soft: PYTHONPATH, the user's packages or a .pth file put others first.
  """
  expected = tuple(
    path.resolve() for path in (found.options.target_repo,) if path
  )
  faults = [
    outcome.failed(
      why, remedy="unset PYTHONPATH, and use a fresh virtual environment"
    )
    for why in surroundings.faults(
      os.environ, expected, tuple(map(pathlib.Path, surroundings.folders()))
    )
  ]
  return outcome.first(faults, "packages of this environment alone")
