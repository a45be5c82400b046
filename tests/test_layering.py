"""Who may import whom: scripts -> {act, dreamer} -> carnet."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
OURS = {"act", "dreamer", "carnet", "scripts", "configs", "benchmarks", "tests"}
ALLOWED = {
  "carnet": {"carnet"},
  "act": {"act", "carnet"},
  "dreamer": {"dreamer", "carnet"},
  "configs/act": {"act"},
  "configs/dreamer": {"dreamer", "carnet", "configs"},
  "scripts": {"act", "dreamer", "carnet", "configs", "scripts"},
  "benchmarks": {"act", "dreamer", "carnet", "configs", "benchmarks"},
}
NO_JAX = {
  *("act/dataset.py", "act/features.py", "act/demonstrations.py"),
  *("dreamer/ratio.py", "dreamer/replay.py", "dreamer/replay_chunks.py"),
  *("dreamer/replay_state.py", "dreamer/selectors.py"),
}
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
def test_data_modules_import_no_jax(name):
  assert not set(_imported(ROOT / name)) & {"jax", "flax", "optax"}


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
