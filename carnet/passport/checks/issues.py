"""What people know to go wrong."""

import platform
import re
from collections.abc import Iterator

from carnet.passport import context, history, outcome
from carnet.passport.checks import environment, parts, pep440
from carnet.passport.static import source

_WORD = re.compile(r"[A-Za-z][\w.-]*")
# packages whose versions are known to change what a policy does
_SENSITIVE = (
  *("jax", "jaxlib", "flax", "numpy", "orbax-checkpoint", "optax", "mujoco"),
  *("tensorstore", "pillow", "gymnasium", "dm_control", "transformers"),
)
_EVERYWHERE = ("", "all", "any", "everywhere", "*")


def known_issue_blocking(found: context.Context) -> outcome.Finding:
  """Pass: no blocking issue concerns this machine. Fail: one does.

  `affected` is "all", a system ("linux", "darwin"), an architecture, or a
  requirement such as "numpy<2.1"; a text that is none of these counts as all.
  """
  faults = []
  rows = found.passport.known_issues
  for index, row in enumerate(rows):
    if row.severity == "blocking" and concerns(row.affected):
      faults.append(
        outcome.failed(
          f"{row.id}: {row.title}",
          f"/known_issues/{index}",
          f"not {row.affected or 'anywhere'}",
          f"{platform.system()} {platform.machine()}",
          row.workaround or "do not use it here",
        )
      )
  return outcome.first(faults, f"{len(rows)} known issues, none blocks here")


def known_issues_have_constraints(found: context.Context) -> outcome.Finding:
  """Pass: every package that an issue speaks of has a version constraint.

  Soft: one has none, so that nobody is kept from the version that breaks.
  """
  constraints = found.passport.model_identity.runtime_constraints
  bound = set()
  if constraints is not None:
    bound = {_canonical(name) for name in constraints.required_versions}
    bound |= {_canonical(x.package) for x in constraints.known_incompatible}
  faults = [
    outcome.failed(
      f"{row.id} speaks of {name}, which has no constraint",
      f"/known_issues/{index}",
      f"{name} in required_versions or known_incompatible",
      "nothing",
      "generate-passport --setup FILE with known_incompatible",
    )
    for index, row in enumerate(found.passport.known_issues)
    for name in _packages(found, row)
    if _canonical(name) not in bound
  ]
  return outcome.first(faults, f"{len(bound)} packages have constraints")


def model_source_at_commit(found: context.Context) -> outcome.Finding:
  """Pass: the policy was measured with the code that trained it.

  Soft: a known issue says that it was other code. Not checked: nothing was
  measured.
  """
  if found.passport.model_internals.numerical_health is None:
    return outcome.not_checked("nothing was measured", parts.MEASURE)
  faults = [
    outcome.failed(row.title, f"/known_issues/{index}", remedy=row.workaround)
    for index, row in enumerate(found.passport.known_issues)
    if row.check_id == source.CHECK
  ]
  return outcome.first(faults, "no other code is known of")


def known_issue_check_ids(found: context.Context) -> outcome.Finding:
  """Pass: issues that code checks name a check, each issue its own id.

  Fail: no such check, or an id twice.
  """
  from carnet.passport import validate  # it lists this module

  known = {check.id for check in validate.catalogue()}
  rows = found.passport.known_issues
  faults, ids = [], set()
  for index, row in enumerate(rows):
    where = f"/known_issues/{index}"
    if row.check_type == "code" and row.check_id not in known:
      faults.append(
        outcome.failed(
          f"{row.id} is checked by '{row.check_id}', which is no check",
          f"{where}/check_id",
          "a name of validate-checkpoint --list-checks",
          row.check_id or "null",
        )
      )
    if row.check_type == "human" and row.check_id is not None:
      faults.append(
        outcome.failed(
          f"{row.id} is for people, and names the check '{row.check_id}'",
          f"{where}/check_id",
          "null",
          row.check_id,
        )
      )
    if row.id in ids:
      faults.append(outcome.failed(f"{row.id} is there twice", f"{where}/id"))
    ids.add(row.id)
  return outcome.first(faults, f"{len(rows)} issues")


def concerns(affected: str) -> bool:
  """Tells whether this machine is among those that an issue affects."""
  text = affected.strip().lower()
  here = {platform.system().lower(), platform.machine().lower()}
  systems = {"linux", "darwin", "windows", "x86_64", "aarch64", "arm64"}
  if text in _EVERYWHERE or text in here:
    return True
  if text in systems:
    return False
  found = pep440.requirement(text)
  if found is None:
    return True
  package, specifier = found
  present = environment.installed(package)
  return present is not None and bool(pep440.allows(specifier, present))


def _packages(found: context.Context, row: history.KnownIssue) -> Iterator[str]:
  """Yields packages that an issue names, known by name or by the record."""
  recorded = found.passport.model_identity.library_versions or {}
  known = {_canonical(name): name for name in (*_SENSITIVE, *recorded)}
  known.pop("python", None)
  seen = set()
  for word in _WORD.findall(f"{row.title} {row.affected} {row.workaround}"):
    name = _canonical(word.rstrip(".-"))
    if name in known and name not in seen:
      seen.add(name)
      yield known[name]


def _canonical(name: str) -> str:
  return re.sub(r"[-_.]+", "-", name).lower()


CHECKS = outcome.group(
  "issues",
  hard=(known_issue_blocking, known_issue_check_ids),
  soft=(known_issues_have_constraints, model_source_at_commit),
)
