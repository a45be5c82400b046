"""Classes are found in text, and nothing is imported."""

import sys

import pytest

from carnet.passport import class_source

TEXT = """
import json as Renamed
if True:
  class Inner: ...
try:
  import nothing
except ImportError:
  class Fallback: ...
class Outer:
  class Nested: ...
def function(): ...
Alias = Outer
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
  """Makes a package that must not be imported."""
  place = tmp_path / "sources_only"
  (place / "below").mkdir(parents=True)
  (place / "__init__.py").write_text("raise SystemExit('imported')\n")
  (place / "below" / "__init__.py").write_text("raise SystemExit\n")
  (place / "below" / "module.py").write_text(TEXT)
  (place / "broken.py").write_text("class (\n")
  monkeypatch.syspath_prepend(tmp_path)
  return "sources_only"


@pytest.mark.parametrize(
  ("module", "name", "answer"),
  [
    ("below.module", "Outer", "class"),
    ("below.module", "Outer.Nested", "class"),
    ("below.module", "Outer.Absent", "absent"),
    ("below.module", "Inner", "class"),
    ("below.module", "Fallback", "class"),
    ("below.module", "Alias", "imported"),
    ("below.module", "Renamed", "imported"),
    ("below.module", "function", "other"),
    ("below.module", "Absent", "absent"),
    ("below.absent", "Outer", "no module"),
    ("below.module.deeper", "Outer", "no module"),
    ("broken", "Outer", "no source"),
    ("below\0", "Outer", "no module"),
  ],
)
def test_what_a_name_is(package, module, name, answer):
  assert class_source.find(f"{package}.{module}", name) == answer
  assert package not in sys.modules


def test_packages_that_are_not_there_or_have_no_text():
  assert class_source.find("no_such_package.module", "X") == "no package"
  assert class_source.find("numpy.random.mtrand", "X") == "no source"
