"""The page of the checks, and what people read in it."""

import pathlib

from carnet.passport import validate
from carnet.passport.formats import catalogue

DOCS = pathlib.Path(__file__).parents[3] / "docs"


def test_the_page_is_that_of_the_code():
  assert (DOCS / "checks.md").read_text() == catalogue.markdown()


def test_every_check_has_its_row():
  rows = catalogue.markdown().splitlines()
  for check in validate.catalogue():
    (row,) = [x for x in rows if x.startswith(f"| `{check.id}` |")]
    assert row.split(" | ")[1].split(";")[0] == check.severity
    assert "Pass: " in row


def test_the_readme_counts_them():
  text = (DOCS.parent / "README.md").read_text()
  assert f"# {len(validate.catalogue())} checks, a page" in text
