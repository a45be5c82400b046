"""Which model it is, and whether this machine is one that it may run on."""

from carnet.passport import class_source, context, outcome
from carnet.passport.checks import environment, parts, pep440

OURS = ("act", "dreamer", "carnet")
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
  if constraints is None or not constraints.required_versions:
    return outcome.not_checked("there are no constraints", parts.MEASURE)
  where = "/model_identity/runtime_constraints/required_versions"
  faults, absent = [], []
  for package, text in constraints.required_versions.items():
    present = environment.installed(package)
    if not pep440.is_specifier(text):
      faults.append(
        outcome.failed(f"{package}: '{text}' is no specifier", where)
      )
    elif present is None:
      absent.append(package)
    elif not pep440.allows(text, present):
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
    present = environment.installed(row.package)
    if not pep440.is_specifier(row.specifier):
      why = f"{row.package}: '{row.specifier}' is no specifier"
      faults.append(outcome.failed(why, f"{where}/{index}/specifier"))
    elif present and pep440.allows(row.specifier, present):
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
    if not pep440.is_version(x)
  ]
  wanted = _ALWAYS if found.passport.family != "other" else ()
  absent = [name for name in wanted if name not in recorded]
  if absent:
    faults.append(
      outcome.failed(
        f"no version of {', '.join(absent)}", where, remedy=parts.MEASURE
      )
    )
  measured = identity.environment
  python = recorded.get("python")
  if measured and python not in (None, measured.python):
    faults.append(
      outcome.failed(
        f"Python is {python} and {measured.python} at once",
        "/model_identity/environment/python",
        python,
        measured.python,
        parts.MEASURE,
      )
    )
  return outcome.first(faults, f"{len(recorded)} versions")


CHECKS = outcome.group(
  "identity",
  hard=(
    model_identity_resolvable,
    required_versions,
    known_incompatible,
    environment.jax_config_match,
    versions_recorded,
  ),
  soft=(environment.env_lock_match, environment.env_contamination),
  needs={"model_identity_resolvable": ("model",)},
)
