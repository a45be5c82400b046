"""Code that lies in no repository and is no wheel, told by its own content.

An archive of the sources, unpacked or installed in place: nobody can look it
up by this, but the same code has the same name and other code another.
"""

import hashlib
import pathlib

import carnet
from carnet import repository


def code(path: pathlib.Path) -> repository.Repository:
  """Returns the code of a file of ours: its commit, wheel, or else content."""
  found = repository.of_package(path, "carnet")
  if found.commit is None and found.package is None:
    return found.model_copy(update={"package": identity(path)})
  return found


def identity(path: pathlib.Path) -> str:
  """Returns "carnet VERSION, sources sha256 DIGEST" of a file's package.

  The digest is over the sorted lines "NAME SHA256" of all `.py` files of that
  package and of carnet, NAME beginning with the package's.

  Args:
    path: a module of a package that trains.

  Raises:
    OSError: a file cannot be read.
  """
  listed = _files(path.resolve()) | _files(pathlib.Path(carnet.__file__))
  rows = sorted(
    f"{name} {hashlib.sha256(place.read_bytes()).hexdigest()}\n"
    for name, place in listed.items()
  )
  digest = hashlib.sha256("".join(rows).encode()).hexdigest()
  return f"carnet {carnet.__version__}, sources sha256 {digest}"


def is_identity(package: str) -> bool:
  """Tells whether a text is of `identity`, and not of a wheel."""
  return ", sources sha256 " in package


def _files(path: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the modules of the topmost package that `path` is of, by name."""
  top = path
  while (top.parent / "__init__.py").is_file():
    top = top.parent
  found = top.rglob("*.py") if top.is_dir() else [top]
  return {place.relative_to(top.parent).as_posix(): place for place in found}
