"""Who may import whom: scripts -> {act, dreamer} -> carnet."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
OURS = {"act", "dreamer", "carnet", "scripts", "configs", "benchmarks", "tests"}
ALLOWED = {
  "carnet": {"carnet"},
  "act": {"act", "carnet"},
  "dreamer": {"dreamer", "carnet"},
  "configs/act": {"act", "carnet"},
  "configs/dreamer": {"dreamer", "carnet", "configs"},
  "scripts": {"act", "dreamer", "carnet", "configs", "scripts"},
  "benchmarks": {"act", "dreamer", "carnet", "configs", "benchmarks"},
}
STATIC = sorted(
  path.relative_to(ROOT)
  for path in (ROOT / "carnet/passport").rglob("*.py")
  if "dynamic" not in path.parts
)
NO_JAX = {
  *map(str, STATIC),
  *("carnet/errors.py", "carnet/paths.py", "carnet/terminal.py"),
  *("carnet/extras.py", "carnet/repository.py", "carnet/run_context.py"),
  *("carnet/versions.py", "carnet/checkpoint/digest.py"),
  *("carnet/checkpoint/directory.py", "carnet/checkpoint/documents.py"),
  *("carnet/checkpoint/dtypes.py", "carnet/checkpoint/faults.py"),
  *("carnet/checkpoint/integrity.py", "carnet/checkpoint/manifest.py"),
  "carnet/checkpoint/plain_file.py",
  *("act/dataset.py", "act/features.py", "act/demonstrations.py"),
  *("dreamer/ratio.py", "dreamer/replay.py", "dreamer/replay_chunks.py"),
  *("dreamer/replay_state.py", "dreamer/selectors.py"),
}
COMMANDS = ("validate_command", "generate_command", "sign_command", "validate")
PYDANTIC = {
  *("pydantic", "pydantic_core", "annotated_types"),
  *("typing_extensions", "typing_inspection"),
}
# of the standard library, and as slow as a package
SLOW = {"asyncio", "multiprocessing", "ssl", "unittest", "urllib.request"}
FILES = [
  (folder, path)
  for folder in ALLOWED
  for path in sorted((ROOT / folder).rglob("*.py"))
]


def _imported(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
      yield str(node.module).split(".")[0]


@pytest.mark.parametrize(
  ("folder", "path"), FILES, ids=lambda value: str(value)
)
def test_imports_go_one_way(folder, path):
  culprits = (set(_imported(path)) & OURS) - ALLOWED[folder]
  assert not culprits, f"{path.relative_to(ROOT)} imports {culprits}"


@pytest.mark.parametrize("name", sorted(NO_JAX))
def test_data_and_passport_modules_import_no_jax(name):
  assert not set(_imported(ROOT / name)) & {"jax", "flax", "optax"}


def _loaded(names):
  """Returns what a fresh process has to load to import modules of ours."""
  program = (
    "import importlib, json, sys; before = set(sys.modules)\n"
    "for name in sys.argv[1:]: importlib.import_module(name)\n"
    "print(json.dumps(sorted(set(sys.modules) - before)))"
  )
  done = subprocess.run(
    [sys.executable, "-c", program, *names],
    capture_output=True,
    check=True,
    cwd=ROOT,
  )
  return set(json.loads(done.stdout))


def _packages(modules):
  """Returns the packages among modules that Python does not bring along."""
  names = {name.split(".")[0] for name in modules} - sys.stdlib_module_names
  return {name for name in names if not name.startswith("_sysconfigdata")}


def test_commands_of_the_passport_start_with_pydantic_alone():
  loaded = _loaded(f"carnet.passport.{name}" for name in COMMANDS)
  assert {"carnet", "pydantic"} <= _packages(loaded) <= {"carnet", *PYDANTIC}
  assert not loaded & SLOW


def test_the_static_half_needs_few_packages():
  names = [".".join(path.with_suffix("").parts) for path in STATIC]
  loaded = _loaded(name.removesuffix(".__init__") for name in names)
  assert "carnet.passport.checks.catalogue" in loaded
  beside = _packages(loaded) - {"carnet", *PYDANTIC}
  assert beside == {"numpy"}


def test_orbax_is_imported_in_one_place():
  homes = {
    str(path.relative_to(ROOT))
    for _, path in FILES
    if "orbax" in set(_imported(path))
  }
  beside = {"benchmarks/checkpoint.py", "benchmarks/corruption.py"}
  assert homes == {"carnet/checkpoint/store.py", *beside}


def test_nothing_under_tests_is_a_package():
  # tests/act/__init__.py would be imported as `act` and hide the real one
  assert not list((ROOT / "tests").rglob("__init__.py"))
