"""scripts/dump_config.py on checkpoints of programs that are not carnet's."""

import ast
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from carnet import (
  checkpoint,
  config_process,
  config_program,
  errors,
  foreign_config,
  run_context,
)
from carnet.checkpoint import documents
from carnet.passport import strict_json

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts/dump_config.py"
PROGRAM = """
import argparse
import dataclasses
import sys
import typing

class Net:
  pass

@dataclasses.dataclass
class Optimizer:
  rate: float = 1e-3
  betas: tuple = (0.9, 0.999)

class Point(typing.NamedTuple):
  x: int = 1

EXPECTED = {
  "seed": 3,
  "name": "net",
  "note": None,
  "optimizer": {"rate": 1e-3, "betas": [0.9, 0.999]},
}

def with_dict():
  return EXPECTED

def with_parts():
  return {**EXPECTED, "optimizer": Optimizer()}

def with_collections():
  import ml_collections
  config = ml_collections.ConfigDict(EXPECTED)
  config.optimizer.betas = (0.9, 0.999)
  config.copy = config.get_ref("seed")
  return config

def with_namespace():
  return argparse.Namespace(**EXPECTED)

def with_model():
  import pydantic

  class Settings(pydantic.BaseModel):
    rate: float = 1e-3
    name: str = "net"

  return Settings()

def with_point():
  return {"point": Point()}

def talking():
  print("hello")
  print("hello", file=sys.stderr)
  return {"argv": list(sys.argv)}

def with_a_set():
  return {"a": {"b": {1}}}

def with_a_large_number():
  return {"optimizer": {"steps": 2**70}}

def with_a_long_text():
  return {"optimizer": {"note": "a" * (1 << 24)}}

def deep():
  value = {}
  for _ in range(70):
    value = {"a": value}
  return value

def a_list():
  return [1]

def failing():
  raise RuntimeError("no " + "GPU")

def leaving():
  sys.exit(5)

def vanishing():
  import os
  os._exit(7)

def wants(argument):
  return {}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
  """Returns a checkpoint directory; the program lies where tests run."""
  code = tmp_path / "code"
  code.mkdir()
  (code / "program.py").write_text(PROGRAM)
  monkeypatch.chdir(code)
  path = tmp_path / "checkpoint"
  path.mkdir()
  (path / "_METADATA").write_text("{}")
  return path


def _git(*words):
  identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
  command = ["git", *identity, *words]
  done = subprocess.run(command, check=True, capture_output=True, text=True)
  return done.stdout.strip()


def _run(*words, entry="with_dict"):
  # a __pycache__ beside the program would count as changed code
  clean = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
  command = [sys.executable, SCRIPT, *words]
  if entry:
    command.append(f"--entry=program:{entry}")
  return subprocess.run(command, capture_output=True, text=True, env=clean)


def _read(place):
  config = json.loads((place / "config.json").read_text())
  return config, run_context.read(place)


def _dump(place, entry="with_dict", **said):
  request = foreign_config.Request(entry=f"program:{entry}", **said)
  foreign_config.dump(place, request)
  return _read(place)[0]


def _refusal(place, **said):
  """Returns the text of a refusal that wrote nothing."""
  before = {x.name: x.read_bytes() for x in place.iterdir()}
  with pytest.raises(errors.UserError) as refused:
    _dump(place, **said)
  assert {x.name: x.read_bytes() for x in place.iterdir()} == before
  return str(refused.value)


def test_all_that_is_said_is_written(place):
  _git("init", "-q")
  _git("add", "-A")
  _git("commit", "-q", "-m", "one")
  _git("remote", "add", "origin", "https://u:secret@example.org/program.git")
  (place / "LOG.md").write_text("# Log")
  done = _run(
    place,
    "--class=program:Net",
    "--dataset=cubes@1f3870be",
    "--loader_class=program:Loader",
    "--dataset=balls@main",
    "--loader_class=program:Other",
    "--run_log=LOG.md",
    "--set=seed=4",
    "--set=optimizer.rate=1",
    "--set=name=5",
    "--set=note=[1]",
  )
  assert done.returncode == 0, done.stderr
  assert (done.stderr, done.stdout.count("\n")) == ("", 1)
  config, context = _read(place)
  assert config == {
    "seed": 4,
    "name": "5",
    "note": [1],
    "optimizer": {"rate": 1.0, "betas": [0.9, 0.999]},
  }
  assert isinstance(config["optimizer"]["rate"], float)
  assert [(x.id, x.revision, x.loader_class) for x in context.datasets] == [
    ("cubes", "1f3870be", "program:Loader"),
    ("balls", "main", "program:Other"),
  ]
  code = context.training_repository
  assert (code.commit, code.dirty) == (_git("rev-parse", "HEAD"), False)
  assert code.remote == "https://example.org/program.git"
  assert context.model.model_dump() == {
    "class_name": "Net",
    "class_module": "program",
    "config_module": "program",
  }
  assert context.run_log == "LOG.md"
  assert context.libraries["jax"]
  assert context.dumped_from.entry == "program:with_dict"
  assert context.dumped_from.overrides[0] == "seed=4"
  # of the launch nobody knows anything
  assert not context.captured_at_launch
  assert (context.run_id, context.argv, context.started_utc) == (None,) * 3
  assert {x.name for x in place.iterdir()} == {
    *("_METADATA", "LOG.md", "config.json", "run_context.json")
  }


def test_what_nobody_said_is_null_and_listed(place):
  done = _run(place)
  assert done.returncode == 0, done.stderr
  _, context = _read(place)
  assert context.training_repository.commit is None
  assert (context.model, context.pretrained, context.run_log) == (None,) * 3
  assert context.datasets == ()
  for flag in ("--training_repo", "--dataset", "--class", "--run_log"):
    assert f"({flag})" in done.stdout


@pytest.mark.parametrize(
  "entry", ["with_dict", "with_parts", "with_namespace", "with_collections"]
)
def test_configurations_of_every_kind_are_the_same_json(place, entry):
  config = _dump(place, entry)
  assert config.pop("copy", 3) == 3  # a reference, resolved
  assert config == {
    "seed": 3,
    "name": "net",
    "note": None,
    "optimizer": {"rate": 1e-3, "betas": [0.9, 0.999]},
  }


@pytest.mark.parametrize(
  ("entry", "expected"),
  [
    ("with_model", {"rate": 1e-3, "name": "net"}),
    ("with_point", {"point": {"x": 1}}),
    ("Optimizer", {"rate": 1e-3, "betas": [0.9, 0.999]}),
    ("talking", {"argv": ["program"]}),
  ],
)
def test_other_entries(place, capfd, entry, expected):
  assert _dump(place, entry) == expected
  assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
  ("entry", "message"),
  [
    ("with_a_set", "config.a.b is a set"),
    ("a_list", "is a list: no table"),
    ("with_a_large_number", "config.optimizer.steps is an integer of 71 bits"),
    ("with_a_long_text", "config.optimizer.note is a text of 16777216"),
    ("deep", "nested in more than 64 levels"),
    ("failing", "program.py, line "),
    ("leaving", "SystemExit: 5"),
    ("vanishing", "ended its process with 7"),
    ("wants", "missing 1 required positional argument"),
    ("EXPECTED.optimizer", "program has no 'EXPECTED.optimizer'"),
    ("a b", "give module:name"),
  ],
)
def test_entries_that_fail_are_told_and_nothing_is_written(
  place, entry, message
):
  assert message in _refusal(place, entry=entry)


@pytest.mark.parametrize(
  ("said", "message"),
  [
    ({"model_class": "program:with_dict"}, "is no class"),
    ({"model_class": "program"}, "give module:name"),
    ({"model_class": "program:Nett"}, "has no 'Nett'"),
    ({"training_repo": pathlib.Path()}, "is no git repository"),
    ({"datasets": ["@1"]}, "give ID@REVISION"),
    ({"datasets": ["a@"]}, "give ID@REVISION"),
    ({"datasets": ["a", "b"], "loader_classes": ["c:D"]}, "one each"),
    ({"run_log": "../LOG.md"}, "lies in"),
    ({"run_log": "absent.md"}, "lies in"),
    ({"run_log": "https://u:secret@example.org"}, "credentials"),
    ({"python": "/no/such/python"}, "cannot be run"),
  ],
)
def test_mistakes_are_told_and_nothing_is_written(place, said, message):
  found = _refusal(place, **said)
  assert message in found
  assert "secret" not in found


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("sed=4", "did you mean 'seed'"),
    ("optimizer.rat=4", "did you mean 'rate'"),
    ("optimizer.rate", "--set=optimizer.rate"),
    ("seed.x=1", "'seed.x'"),
    ("seed=true", "which is no bool"),
    ("seed=many", "which is no str"),
    ("optimizer=3", "which is no int"),
  ],
)
def test_only_keys_that_are_there_take_a_value_of_their_type(text, message):
  config = {"seed": 3, "optimizer": {"rate": 1e-3}}
  with pytest.raises(errors.UserError) as refused:
    config_process.override(config, text)
  assert message in str(refused.value)
  assert config == {"seed": 3, "optimizer": {"rate": 1e-3}}


def test_a_value_that_json_lacks_is_refused_by_its_key(place):
  message = _refusal(place, overrides=["optimizer.rate=NaN"])
  assert "optimizer/rate is nan" in message


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--entry=no_such_module:get"], "No module named 'no_such_module'"),
    (["--entry="], "--entry=: give module:name, such as my_package.config:get"),
    (
      ["--entry=program:with_a_large_number"],
      "beyond 53 readers of JSON round it",
    ),
    (
      ["--entry=program:with_dict", "--set=seed=1180591620717411303424"],
      "beyond 2^53",
    ),
    (["--entry=program:failing"], "RuntimeError: no GPU"),
    ([], "flag --entry"),
    (["--entry=program:with_dict", "elsewhere"], "directory, got 2"),
  ],
)
def test_mistakes_end_with_one_line_and_code_2(place, flags, message):
  done = _run(place, *flags, entry="")
  assert (done.returncode, done.stdout) == (2, "")
  assert done.stderr.count("\n") == 1
  assert message in done.stderr
  assert [x.name for x in place.iterdir()] == ["_METADATA"]


def test_what_is_there_is_replaced_only_on_request(place):
  (place / "config.json").write_text("{}")
  assert "has config.json already" in _refusal(place)
  assert _run(place, "--overwrite").returncode == 0
  assert _read(place)[0]["seed"] == 3
  assert "config.json and run_context.json already" in _refusal(place)


def test_our_own_checkpoints_have_both_already(place):
  with checkpoint.Checkpoint(place / "checkpoints", verbose=False) as saved:
    saved.register("agent", 0)
    saved.save(0)
  request = foreign_config.Request(entry="program:with_dict")
  for name in ("", "checkpoints", "checkpoints/000000000"):
    message = "training, which has written config.json"
    with pytest.raises(errors.UserError, match=message):
      foreign_config.dump(place / name, request, overwrite=True)


def test_the_training_repository_is_where_modules_are_found(place, monkeypatch):
  code = pathlib.Path.cwd()
  _git("init", "-q")
  _git("add", "-A")
  _git("commit", "-q", "-m", "one")
  (code / "program.py").write_text(PROGRAM + "\n# later\n")
  monkeypatch.chdir(place.parent)
  assert "No module named 'program'" in _refusal(place)
  _dump(place, training_repo=code)
  _, context = _read(place)
  assert context.training_repository.dirty
  assert len(context.training_repository.diff_sha256) == 64


def test_settings_of_jax_are_those_of_the_program(place):
  (pathlib.Path.cwd() / "with_jax.py").write_text(
    "import jax\njax.config.update('jax_enable_x64', True)\n"
    "def get():\n  return {}\n"
  )
  foreign_config.dump(place, foreign_config.Request(entry="with_jax:get"))
  _, context = _read(place)
  assert context.environment.jax_config.x64 is True
  assert context.environment.device_kind is None


@pytest.mark.parametrize(
  ("value", "message"),
  [
    ({"a": [0.0, math.nan]}, r"config\.a\[1\] is nan"),
    ({"a": -math.inf}, r"config\.a is -inf"),
    ({"a": {1: 2}}, r"config\.a has the key 1"),
    ({"a": [{"b": pathlib.Path()}]}, r"config\.a\[0\]\.b is a PosixPath"),
    ({"a": np.float64(1)}, r"config\.a is a float64"),
    ({"a": np.zeros(1)}, r"config\.a is a ndarray"),
    ({"a": print}, r"config\.a is a builtin_function_or_method"),
    ({"a": dict}, r"config\.a is a type"),
  ],
)
def test_what_json_would_change_is_refused_by_its_path(value, message):
  with pytest.raises(config_program.Refusal, match=message):
    config_program.plain(value, "config")


def test_the_program_needs_nothing_but_the_standard_library():
  tree = ast.parse(pathlib.Path(config_program.__file__).read_text())
  names = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names |= {alias.name.split(".")[0] for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names.add(str(node.module).split(".")[0])
  assert names <= sys.stdlib_module_names


def test_the_largest_configurations_can_be_read_again():
  value = leaf = {}
  for _ in range(config_program._DEEPEST - 1):
    leaf["a"] = leaf = {}
  for edge in (
    value,
    {"a": config_program._LARGEST_INTEGER},
    {"a": "b" * config_program._LONGEST_TEXT},
  ):
    plain = config_program.plain(edge, "config")
    content = documents.encode(plain, "config.json")
    assert strict_json.decode(content, "config.json") == edge
  leaf["a"] = value  # without end
  with pytest.raises(config_program.Refusal, match="more than 64"):
    config_program.plain(value, "config")
