"""A validation for people and programs: one verdict in every format."""

from collections.abc import Callable

from carnet.passport.formats import (
  github,
  json_document,
  junit,
  rows,
  sarif,
  text,
)

FORMATS: dict[str, Callable[[rows.Validation], str]] = {
  "text": text.render,
  "json": json_document.render,
  "junit": junit.render,
  "sarif": sarif.render,
  "github": github.render,
}
