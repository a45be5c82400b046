"""Versions and what they allow, by PEP 440 and 508.

`packaging` is imported by whoever compares: without it those checks are not
checked, and the rest of the static half runs with pydantic and numpy.
"""


def allows(specifier: str, present: str) -> bool | None:
  """Tells whether a version is within "~=2.1"; None: that is no specifier."""
  from packaging import specifiers

  try:
    found = specifiers.SpecifierSet(specifier)
  except specifiers.InvalidSpecifier:
    return None
  return found.contains(present, prereleases=True)


def is_specifier(text: str) -> bool:
  """Tells whether a text is a set of constraints."""
  return allows(text, "0") is not None


def is_version(text: str) -> bool:
  """Tells whether a text is a version."""
  from packaging import version

  try:
    version.Version(text)
  except version.InvalidVersion:
    return False
  return True


def requirement(text: str) -> tuple[str, str] | None:
  """Returns package and specifier of "numpy<2.1"; None if it is none."""
  from packaging import requirements

  try:
    found = requirements.Requirement(text)
  except requirements.InvalidRequirement:
    return None
  return (found.name, str(found.specifier)) if found.specifier else None
