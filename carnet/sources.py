"""Code that no commit and no wheel tells, told by its own content.

An archive of the sources, unpacked or installed in place, or modules in a
repository that git does not know: nobody can look it up by this, but the same
code has the same name and other code another.
"""

import hashlib
import pathlib

import carnet
from carnet import repository


def code(path: pathlib.Path) -> repository.Repository:
  """Returns the code of a file of ours: its commit, wheel, or else content.

  The content joins a commit where modules lie beside it that git does not
  know, and does not ignore: the difference from the commit has none of them.
  """
  found = repository.of_package(path, "carnet")
  unknown = found.commit is None and found.package is None
  if unknown or (found.untracked and _has_untracked(path)):
    return found.model_copy(update={"package": identity(path)})
  return found


def identity(path: pathlib.Path) -> str:
  """Returns "carnet VERSION, sources sha256 DIGEST" of a file's package.

  The digest is over the sorted lines "NAME SHA256" of all `.py` files of that
  package and of carnet, NAME beginning with the package's. Files that cannot be
  imported do not count: a part of NAME begins with a dot, as what editors and
  notebooks leave does, or it is no regular file.

  Args:
    path: a module of a package that trains.

  Raises:
    OSError: a file cannot be read.
  """
  listed = {k: x for top in _tops(path) for k, x in _files(top).items()}
  rows = sorted(
    f"{name} {hashlib.sha256(place.read_bytes()).hexdigest()}\n"
    for name, place in listed.items()
  )
  digest = hashlib.sha256("".join(rows).encode()).hexdigest()
  return f"carnet {carnet.__version__}, sources sha256 {digest}"


def is_identity(package: str) -> bool:
  """Tells whether a text is of `identity`, and not of a wheel."""
  return ", sources sha256 " in package


def _has_untracked(path: pathlib.Path) -> bool:
  """Tells whether a module that counts is none that git knows or ignores."""
  return any(
    not _files(top)
    .keys()
    .isdisjoint(f"{top.name}/{name}" for name in repository.untracked(top))
    for top in _tops(path)
    if top.is_dir()
  )


def _tops(path: pathlib.Path) -> tuple[pathlib.Path, ...]:
  """Returns the topmost packages of what trains, and of carnet."""
  return _top(path.resolve()), _top(pathlib.Path(carnet.__file__))


def _top(path: pathlib.Path) -> pathlib.Path:
  while (path.parent / "__init__.py").is_file():
    path = path.parent
  return path


def _files(top: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the modules of a package by name."""
  found = top.rglob("*.py") if top.is_dir() else [top]
  named = {place.relative_to(top.parent): place for place in found}
  return {
    name.as_posix(): place
    for name, place in named.items()
    if place.is_file() and not any(x.startswith(".") for x in name.parts)
  }
