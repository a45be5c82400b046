"""Where a class is defined, found in source text: nothing is imported.

To resolve a class that a file names is to import what the file says. Here its
module is looked for on the path and its text is parsed, so that no line of a
package runs, and no package beside the trusted ones is even opened.
"""

import ast
import importlib.machinery
import pathlib
from collections.abc import Iterable, Sequence
from typing import Literal

from carnet.checkpoint import faults, plain_file

Answer = Literal[
  "class", "imported", "other", "absent", "no package", "no module", "no source"
]
_LARGEST_BYTES = 1 << 22
_Definitions = Iterable[ast.stmt]


def find(module: str, name: str) -> Answer:
  """Returns what a name is in a module, as its text has it.

  "imported" and "other" are names that the module binds otherwise: by an
  import or an assignment, or as a function.
  """
  top, *below = module.split(".")
  if not all(part.isidentifier() for part in (top, *below)):
    return "no module"
  spec = _spec(top, None)
  if spec is None:
    return "no package"
  path = top
  for part in below:
    spec = _spec(f"{path}.{part}", spec.submodule_search_locations or ())
    path += f".{part}"
    if spec is None:
      return "no module"
  source = spec.origin
  if source is None or not source.endswith(".py"):
    return "no source"
  try:
    text = plain_file.read(pathlib.Path(source).resolve(), _LARGEST_BYTES)
    tree = ast.parse(text)
  except (faults.CorruptError, SyntaxError, ValueError, RecursionError):
    return "no source"
  return _look(tree.body, name.split("."))


def _spec(
  name: str, path: Sequence[str] | None
) -> importlib.machinery.ModuleSpec | None:
  try:
    return importlib.machinery.PathFinder.find_spec(name, path)
  except (ImportError, ValueError, TypeError):
    return None


def _look(body: _Definitions, names: Sequence[str]) -> Answer:
  first, *rest = names
  answer: Answer = "absent"
  for node in _statements(body):
    if isinstance(node, ast.ClassDef) and node.name == first:
      answer = _look(node.body, rest) if rest else "class"
    elif isinstance(node, ast.FunctionDef) and node.name == first:
      answer = "other"
    elif first in _bound(node):
      answer = "imported"
  return answer


def _statements(body: _Definitions) -> Iterable[ast.stmt]:
  """Yields statements, also those within conditions and `try`."""
  for node in body:
    yield node
    for field in ("body", "orelse", "finalbody", "handlers"):
      inner = getattr(node, field, ())
      if isinstance(node, ast.If | ast.Try):
        for part in inner:
          handled = isinstance(part, ast.ExceptHandler)
          yield from _statements(part.body if handled else [part])


def _bound(node: ast.stmt) -> set[str]:
  if isinstance(node, ast.Import | ast.ImportFrom):
    return {alias.asname or alias.name for alias in node.names}
  if isinstance(node, ast.Assign):
    return {x.id for x in node.targets if isinstance(x, ast.Name)}
  return set()
