"""Which leaf is restored from which: a pure function of names and specs.

Every leaf of the target is exactly one of restored, kept, missing, changed;
every stored leaf is the source of a restored or changed one, or unexpected, or
ignored. A stored path is first renamed, then the regular expression is matched
in full against the resulting path, which is a path of the target. So one
expression says which part of this run is restored, whatever its names were.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from carnet import errors
from carnet.checkpoint import faults
from carnet.checkpoint.leaves import Spec

RESTORED = "restored"
KEPT = "kept as initialised"
MISSING = "missing"
UNEXPECTED = "unexpected"
CHANGED = "shape or dtype changed"
IGNORED = "ignored"
FAULTS = (MISSING, UNEXPECTED, CHANGED)


@dataclasses.dataclass(frozen=True)
class Row:
  """The fate of one leaf; `source` is its stored path."""

  path: str
  status: str
  source: str | None
  stored: Spec | None
  target: Spec | None


def make(
  stored: Mapping[str, Spec],
  target: Mapping[str, Spec],
  components: Collection[str] | None = None,
  regex: str | None = None,
  rename: Mapping[str, str] | None = None,
  exclude: str | None = None,
) -> tuple[Row, ...]:
  """Returns one row for each leaf of the target and each other stored leaf.

  Args:
    stored: what the checkpoint holds, by component path.
    target: what it is to be loaded into, by component path.
    components: leave all others as they are.
    regex: leave every leaf as it is whose path does not match in full.
    rename: pattern -> replacement for stored paths; the first full match wins.
    exclude: leave every leaf as it is whose path matches in full.

  Raises:
    UserError: an expression is malformed, or two stored leaves get one path.
    MismatchError: an expression matches nothing that is stored.
  """
  chosen = _selector(components, regex, exclude)
  sources = _renamed(stored, rename or {})
  held = {path.split("/")[0] for path in sources}
  for name in components or ():
    if name not in held:
      raise errors.unknown("stored component", name, held)
  rows = []
  for path in sorted({*target, *sources}):
    source = sources.get(path)
    there = stored[source] if source is not None else None
    here = target.get(path)
    status = _status(there, here, chosen(path))
    rows.append(Row(path, status, source, there, here))
  if regex is not None and not any(chosen(path) for path in sources):
    raise faults.MismatchError(_no_match(regex, components, sources))
  if exclude is not None and not any(
    map(_compile(exclude).fullmatch, sorted({*target, *sources}))
  ):
    raise faults.MismatchError(_no_match(exclude, None, sources))
  return tuple(rows)


def parse_rename(rules: Iterable[str]) -> dict[str, str]:
  """Returns rename rules from texts, as configurations hold them.

  Args:
    rules: each "pattern => replacement", spaces around the arrow or not.

  Raises:
    UserError: a text is not of this form, or two have one pattern.
  """
  parsed: dict[str, str] = {}
  for rule in rules:
    pattern, arrow, replacement = map(str.strip, rule.partition("=>"))
    if not arrow or not pattern or pattern in parsed:
      raise errors.UserError(
        f"rename rule {rule!r}: write 'pattern => replacement', once for each "
        "pattern"
      )
    parsed[pattern] = replacement
  return parsed


def check(rows: Collection[Row], advice: str = "") -> None:
  """Refuses a plan that is not a restore of everything it was asked for.

  Args:
    rows: the plan.
    advice: what the user should know besides.

  Raises:
    MismatchError: leaves are missing, unexpected or changed; it names all.
  """
  bad = [row for row in rows if row.status in FAULTS]
  if bad:
    lines = "".join(f"\n  {describe(row)}" for row in bad)
    raise faults.MismatchError(
      f"the checkpoint does not fit ({len(bad)} leaves): adapt what is "
      "registered or configured, choose a part by regex, exclude and rename, "
      f"or, in code, leave the rest as it is by strict=False{advice}:{lines}"
    )


def describe(row: Row) -> str:
  """Returns one line about a leaf."""
  renamed = row.source is not None and row.source != row.path
  origin = f" (stored as {row.source})" if renamed else ""
  if row.status == CHANGED:
    return f"{CHANGED}: {row.path}{origin} is {row.target}, stored {row.stored}"
  return f"{row.status}: {row.path}{origin} {row.target or row.stored}"


def _status(there: Spec | None, here: Spec | None, chosen: bool) -> str:
  if not chosen:
    return IGNORED if here is None else KEPT
  if here is None:
    return UNEXPECTED
  if there is None:
    return MISSING
  return RESTORED if here.accepts(there) else CHANGED


def _selector(
  components: Collection[str] | None, regex: str | None, exclude: str | None
) -> Callable[[str], bool]:
  pattern = _compile(regex) if regex is not None else None
  without = _compile(exclude) if exclude is not None else None

  def chosen(path: str) -> bool:
    if components is not None and path.split("/")[0] not in components:
      return False
    if without is not None and without.fullmatch(path):
      return False
    return pattern is None or pattern.fullmatch(path) is not None

  return chosen


def _renamed(
  stored: Mapping[str, Spec], rename: Mapping[str, str]
) -> dict[str, str]:
  if not isinstance(rename, Mapping):
    raise errors.UserError(f"rename={rename!r}: give a pattern -> replacement")
  rules = [(_compile(pattern), text) for pattern, text in rename.items()]
  sources: dict[str, str] = {}
  for source in stored:
    path = _rename(source, rules)
    if path in sources:
      raise errors.UserError(
        f"rename gives '{source}' and '{sources[path]}' one path, '{path}'"
      )
    sources[path] = source
  unused = [p.pattern for p, _ in rules if not any(map(p.fullmatch, stored))]
  if unused:
    raise faults.MismatchError(
      f"rename patterns match no stored leaf: {unused}"
    )
  return sources


def _rename(source: str, rules: list[tuple[re.Pattern[str], str]]) -> str:
  for pattern, text in rules:
    match = pattern.fullmatch(source)
    if match is not None:
      try:
        return match.expand(text)
      except (re.error, IndexError) as error:
        raise errors.UserError(
          f"the replacement {text!r} does not fit {pattern.pattern!r}: {error}"
        ) from error
  return source


def _compile(regex: str) -> re.Pattern[str]:
  try:
    return re.compile(regex)
  except TypeError as error:
    raise errors.UserError(f"{regex!r} is not one text") from error
  except re.error as error:
    raise errors.UserError(
      f"{regex!r} is not a regular expression: {error}"
    ) from error


def _no_match(
  regex: str, components: Collection[str] | None, sources: Collection[str]
) -> str:
  some = ", ".join(sorted(sources)[:5])
  scope = f" of {sorted(components)}" if components is not None else ""
  return (
    f"regex {regex!r} matches no stored leaf{scope}; it must match a whole "
    f"path; the checkpoint holds {len(sources)}: {some}, ..."
  )
