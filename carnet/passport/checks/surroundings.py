"""What else Python finds beside the packages of its own environment."""

import os
import pathlib
import re
import site
import sys
from collections.abc import Iterator, Mapping, Sequence

_LARGEST_BYTES = 1 << 16
# installers write these: setuptools, virtualenv, editable packages, coverage
_KNOWN = re.compile(
  r"(distutils-precedence|_virtualenv|a1_coverage|.*-nspkg"
  r"|_*editable_.*|.*easy-install|zzz.*_hijack)\.pth"
)


def folders() -> tuple[str, ...]:
  """Returns the directories of packages, whose .pth files Python executes."""
  return tuple(
    path
    for path in sys.path
    if path.endswith(("site-packages", "dist-packages"))
  )


def faults(
  environment: Mapping[str, str],
  expected: Sequence[pathlib.Path],
  packages: Sequence[pathlib.Path],
) -> Iterator[str]:
  """Yields what may take the place of installed packages.

  Args:
    environment: variables.
    expected: directories that may be on PYTHONPATH.
    packages: directories whose .pth files are looked at.
  """
  for entry in filter(
    None, environment.get("PYTHONPATH", "").split(os.pathsep)
  ):
    if pathlib.Path(entry).resolve() not in expected:
      yield f"PYTHONPATH has {entry}"
  for name in ("PYTHONHOME", "PYTHONSTARTUP"):
    if environment.get(name):
      yield f"{name} is set"
  user = pathlib.Path(site.getusersitepackages())
  if str(user) in sys.path:
    yield f"packages of the user: {user}"
  for folder in packages:
    yield from _executed(folder)


def _executed(folder: pathlib.Path) -> Iterator[str]:
  """Yields .pth files that run code at every start of Python."""
  for path in sorted(folder.glob("*.pth")):
    if _KNOWN.fullmatch(path.name) or path.stat().st_size > _LARGEST_BYTES:
      continue
    lines = path.read_text(errors="replace").splitlines()
    if any(line.startswith(("import ", "import\t")) for line in lines):
      yield f"{path.name} runs code whenever Python starts"
