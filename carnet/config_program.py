"""Makes a configuration, as JSON, in the environment of another program.

`carnet.foreign_config` runs the text of this file in a fresh interpreter in
which carnet need not be installed: it imports the standard library alone, and
otherwise what the user named on the command line. Python 3.9 runs it too.
"""

import collections.abc
import dataclasses
import importlib
import importlib.metadata
import json
import math
import os
import platform
import sys
import traceback
from typing import Any

# what `carnet.passport.strict_json` takes
_DEEPEST = 64  # levels of nesting
_LONGEST_TEXT = 1 << 16
_LARGEST_INTEGER = 2**53 - 1
_SETTINGS = {
  "prng_impl": "jax_default_prng_impl",
  "threefry_partitionable": "jax_threefry_partitionable",
  "x64": "jax_enable_x64",
  "matmul_precision": "jax_default_matmul_precision",
}


class Refusal(Exception):
  """Something that cannot be written down, or is not there."""


def plain(value: Any, path: str, depth: int = 0) -> Any:
  """Returns JSON values of a configuration, which is at `path`.

  Raises:
    Refusal: a part is of a type that JSON would change; it names the part.
  """
  if depth >= _DEEPEST:
    raise Refusal(f"{path} is nested in more than {_DEEPEST} levels")
  if type(value) is int and abs(value) > _LARGEST_INTEGER:
    raise Refusal(
      f"{path} is an integer of {value.bit_length()} bits: beyond 53 readers "
      "of JSON round it, make it text"
    )
  if type(value) is str and len(value) > _LONGEST_TEXT:
    raise Refusal(
      f"{path} is a text of {len(value)} characters: at most {_LONGEST_TEXT}"
    )
  if value is None or type(value) in (bool, int, str):
    return value
  if type(value) is float:
    if not math.isfinite(value):
      raise Refusal(f"{path} is {value}: JSON has no such number")
    return value
  if isinstance(value, (list, tuple)) and not hasattr(value, "_asdict"):
    return [
      plain(x, f"{path}[{index}]", depth + 1) for index, x in enumerate(value)
    ]
  return {
    _key(name, path): plain(x, f"{path}.{name}", depth + 1)
    for name, x in _fields(value, path).items()
  }


def _key(name: Any, path: str) -> str:
  if type(name) is not str:
    raise Refusal(f"{path} has the key {name!r}: JSON has text as keys")
  return name


def _fields(value: Any, path: str) -> dict:
  """Returns the parts of what is a table under another name."""
  if hasattr(value, "copy_and_resolve_references"):  # ml_collections
    return dict(value.copy_and_resolve_references().items())
  if isinstance(value, collections.abc.Mapping):
    return dict(value)
  if not isinstance(value, type):
    if hasattr(value, "_asdict"):  # a named tuple
      return value._asdict()
    if dataclasses.is_dataclass(value):
      fields = dataclasses.fields(value)
      return {field.name: getattr(value, field.name) for field in fields}
    if hasattr(value, "model_dump"):  # pydantic: its own idea of JSON
      return value.model_dump(mode="json")
    if type(value).__name__ == "Namespace":
      return dict(vars(value))
  raise Refusal(
    f"{path} is a {type(value).__name__}, which JSON does not have: return "
    "text, numbers, lists and tables"
  )


def find(name: str) -> Any:
  """Returns what "module:attribute" names.

  Raises:
    Refusal: there is no such attribute.
  """
  module, _, attribute = name.partition(":")
  found = importlib.import_module(module)
  for part in attribute.split("."):
    if not hasattr(found, part):
      raise Refusal(f"{name}: {module} has no '{attribute}'")
    found = getattr(found, part)
  return found


def answer(request: dict) -> dict:
  """Returns the configuration and the facts of this environment."""
  made = find(request["entry"])
  if callable(made):
    made = made()
  config = plain(made, "config")
  if not isinstance(config, dict):
    raise Refusal(f"the configuration is a {type(made).__name__}: no table")
  if request["class"] and not isinstance(find(request["class"]), type):
    raise Refusal(f"{request['class']} is no class")
  module = sys.modules[request["entry"].partition(":")[0]]
  return {
    "config": config,
    "file": getattr(module, "__file__", None),
    "python": platform.python_version(),
    "platform": platform.platform(),
    "libraries": _versions(request["libraries"], module.__name__),
    "jax_config": _jax_config(),
  }


def _versions(names: list, module: str) -> dict:
  # Python 3.9 has it not
  list_owners = getattr(importlib.metadata, "packages_distributions", dict)
  owners: dict = list_owners()
  found = {"python": platform.python_version()}
  for name in [*names, *owners.get(module.split(".")[0], ())]:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


def _jax_config() -> Any:
  """Returns JAX's settings if the program has imported it."""
  config = getattr(sys.modules.get("jax"), "config", None)
  if config is None:
    return None
  found = {name: getattr(config, key, None) for name, key in _SETTINGS.items()}
  if any(x is None for name, x in found.items() if name != "matmul_precision"):
    return None
  return {
    **found,
    "prng_impl": str(found["prng_impl"]),
    "xla_flags": os.environ.get("XLA_FLAGS", ""),
  }


def _describe(error: BaseException) -> str:
  """Returns one line: what went wrong, and where in the user's code."""
  frames = traceback.extract_tb(error.__traceback__)
  own = [x for x in frames if not x.filename.startswith("<")]
  place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
  return f"{type(error).__name__}: {error}{place}"


def main() -> None:
  """Answers the request in the first argument, in the file that it names."""
  request = json.loads(sys.argv[1])
  sys.argv = [request["entry"].partition(":")[0]]
  try:
    found = answer(request)
    text = json.dumps(found, allow_nan=False)
  except Refusal as error:
    text = json.dumps({"error": str(error)})
  except BaseException as error:  # also sys.exit: it is somebody else's code
    text = json.dumps({"error": f"{request['entry']}: {_describe(error)}"})
  with open(request["output"], "w", encoding="utf-8") as file:
    file.write(text)


if __name__ == "__main__":
  main()
