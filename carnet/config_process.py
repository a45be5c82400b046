"""A configuration from a fresh process, and changes to it."""

import json
import os
import pathlib
import subprocess
import tempfile
from typing import Any

from carnet import config_program, errors, launch
from carnet.checkpoint import documents

LIBRARIES = (*launch.LIBRARIES, "chex", "distrax", "ml_collections")

Json = dict[str, Any]


def ask(
  python: str,
  entry: str,
  model_class: str = "",
  directory: pathlib.Path | None = None,
) -> Json:
  """Returns what a fresh process of `python` says of itself and of `entry`.

  Args:
    python: an interpreter.
    entry: "module:function", which it imports and calls.
    model_class: "module:Class" that must be there, or "".
    directory: where it works, and looks for modules first; else here.

  Raises:
    UserError: the process, the module or the function fails.
  """
  given = python
  if os.sep in python:  # no link is followed: a venv is told by its path
    python = os.path.abspath(python)
  program = pathlib.Path(config_program.__file__).read_text(encoding="utf-8")
  with tempfile.TemporaryDirectory() as folder:
    output = pathlib.Path(folder) / "answer.json"
    words = {
      "entry": entry,
      "class": model_class,
      "libraries": list(LIBRARIES),
      "output": str(output),
    }
    try:
      done = subprocess.run(
        [python, "-c", program, json.dumps(words)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
      )
    except OSError as error:
      raise errors.UserError(
        f"--python={given} cannot be run: {error.strerror}"
      ) from error
    if not output.exists():
      lines = done.stderr.decode(errors="replace").splitlines()
      raise errors.UserError(
        f"{entry} ended its process with {done.returncode}: "
        f"{lines[-1] if lines else 'it said nothing'}"
      )
    found = documents.decode(output.read_bytes(), "the configuration")
  if "error" in found:
    raise errors.UserError(f"{found['error']} [{given}]")
  return found


def override(config: Json, text: str) -> None:
  """Replaces one value; UserError for a key or a type that is not there."""
  key, equals, given = text.partition("=")
  *above, name = key.split(".")
  node: Any = config
  for part in above:
    node = node.get(part) if isinstance(node, dict) else None
  if not equals or not isinstance(node, dict) or name not in node:
    known = node if isinstance(node, dict) else config
    wrong = name if isinstance(node, dict) else key
    raise errors.unknown(f"key in --set={text}:", wrong, known)
  try:
    value = json.loads(given)
  except ValueError:
    value = given
  before = node[name]
  if isinstance(before, str) and not isinstance(value, str):
    value = given
  if isinstance(before, float) and type(value) is int:
    value = float(value)
  if before is not None and type(value) is not type(before):
    raise errors.UserError(
      f"--set={text}: '{key}' is {json.dumps(before)[:80]}, which is no "
      f"{type(value).__name__}"
    )
  node[name] = value
