"""Which model it is, and whether this machine is one that it may run on."""

import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Iterator

from packaging import requirements, specifiers, version

from carnet.checkpoint import digest
from carnet.passport import class_source, context, model, outcome
from carnet.passport.checks import jax_here, parts, surroundings

OURS = ("act", "dreamer", "carnet")
_LOCK = "requirements.lock"
_ALWAYS = ("python", "jax", "jaxlib", "flax", "numpy")


def model_identity_resolvable(found: context.Context) -> outcome.Finding:
  """Pass: the class is where the passport says, by the text of its module.

  Fail: the package is here and the class is not. Not checked: no class named,
  the package is absent, or it is not one of ours and not trusted. Nothing is
  imported.
  """
  identity = found.passport.model_identity
  module, name = identity.class_module, identity.class_name
  if not module or not name:
    return outcome.not_checked("no class is named", parts.GENERATE)
  package = module.split(".")[0]
  if package not in (*OURS, *found.options.trust_packages):
    return outcome.not_checked(
      f"'{package}' is not one of {', '.join(OURS)}: not looked at",
      f"--trust-package {package}",
    )
  answer = class_source.find(module, name)
  if answer in ("no package", "no source"):
    return outcome.not_checked(
      f"{package} is not installed here"
      if answer == "no package"
      else f"{module} has no source that can be read"
    )
  if answer in ("class", "imported"):
    return outcome.passed(f"{module}.{name}")
  return outcome.failed(
    f"{module} "
    + (
      "is no module of it" if answer == "no module" else f"has no class {name}"
    ),
    "/model_identity/class_name",
    f"{module}.{name}",
    answer,
    "install the version of the training: see /model_identity/library_versions",
  )


def required_versions(found: context.Context) -> outcome.Finding:
  """Pass: all required packages are here in required versions.

  Fail: another version, or a constraint that is none. Not checked: nothing is
  required, or a package is absent.
  """
  constraints = found.passport.model_identity.runtime_constraints
  if constraints is None:
    return outcome.not_checked("there are no constraints", parts.MEASURE)
  where = "/model_identity/runtime_constraints/required_versions"
  faults, absent = [], []
  for package, text in constraints.required_versions.items():
    allowed, present = _specifier(text), installed(package)
    if allowed is None:
      faults.append(
        outcome.failed(f"{package}: '{text}' is no specifier", where)
      )
    elif present is None:
      absent.append(package)
    elif not allowed.contains(present, prereleases=True):
      faults.append(
        outcome.failed(
          f"{package} is {present} here, {text} is required",
          f"{where}/{package}",
          text,
          present,
          f"pip install '{package}{text}'",
        )
      )
  if not faults and absent:
    return outcome.not_checked(
      f"not installed here: {', '.join(absent)}",
      "validate where the policy runs",
    )
  return outcome.first(
    faults, f"{len(constraints.required_versions)} packages as required"
  )


def known_incompatible(found: context.Context) -> outcome.Finding:
  """Pass: no package is here in a version that is known to break the policy.

  Fail: one is, or a constraint is none. Not checked: there are no constraints.
  """
  constraints = found.passport.model_identity.runtime_constraints
  if constraints is None:
    return outcome.not_checked("there are no constraints", parts.MEASURE)
  where = "/model_identity/runtime_constraints/known_incompatible"
  faults = []
  for index, row in enumerate(constraints.known_incompatible):
    banned, present = _specifier(row.specifier), installed(row.package)
    if banned is None:
      why = f"{row.package}: '{row.specifier}' is no specifier"
      faults.append(outcome.failed(why, f"{where}/{index}/specifier"))
    elif present and banned.contains(present, prereleases=True):
      faults.append(
        outcome.failed(
          f"{row.package} {present} is known to break it: {row.reason}",
          f"{where}/{index}",
          f"not {row.specifier}",
          present,
          f"install {row.package} outside of {row.specifier}",
        )
      )
  return outcome.first(
    faults, f"none of {len(constraints.known_incompatible)} is here"
  )


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


def versions_recorded(found: context.Context) -> outcome.Finding:
  """Pass: versions of what computes the actions are recorded. Fail: else."""
  identity = found.passport.model_identity
  where = "/model_identity/library_versions"
  recorded = identity.library_versions
  if not recorded:
    return outcome.failed(
      "nobody knows with which versions it was measured",
      where,
      "name: version",
      "nothing",
      parts.MEASURE,
    )
  faults = [
    outcome.failed(f"{name} '{x}' is no version", f"{where}/{name}")
    for name, x in recorded.items()
    if not _is_version(x)
  ]
  wanted = _ALWAYS if found.passport.family != "other" else ()
  absent = [name for name in wanted if name not in recorded]
  if absent:
    faults.append(
      outcome.failed(
        f"no version of {', '.join(absent)}", where, remedy=parts.MEASURE
      )
    )
  environment = identity.environment
  python = recorded.get("python")
  if environment and python not in (None, environment.python):
    faults.append(
      outcome.failed(
        f"Python is {python} and {environment.python} at once",
        "/model_identity/environment/python",
        python,
        environment.python,
        parts.MEASURE,
      )
    )
  return outcome.first(faults, f"{len(recorded)} versions")


def installed(name: str) -> str | None:
  """Returns the version of Python or of a distribution, None if absent."""
  if name == "python":
    return platform.python_version()
  try:
    return importlib.metadata.version(name)
  except (importlib.metadata.PackageNotFoundError, ValueError):
    return None


def requirement(text: str) -> requirements.Requirement | None:
  """Returns a package with versions, as in "numpy<2.1"; None if it is none."""
  try:
    found = requirements.Requirement(text)
  except requirements.InvalidRequirement:
    return None
  return found if found.specifier else None


def _specifier(text: str) -> specifiers.SpecifierSet | None:
  try:
    return specifiers.SpecifierSet(text)
  except specifiers.InvalidSpecifier:
    return None


def _is_version(text: str) -> bool:
  try:
    version.Version(text)
  except version.InvalidVersion:
    return False
  return True


CHECKS = outcome.group(
  "identity",
  hard=(
    model_identity_resolvable,
    required_versions,
    known_incompatible,
    jax_config_match,
    versions_recorded,
  ),
  soft=(env_lock_match, env_contamination),
  needs={"model_identity_resolvable": ("model",)},
)
