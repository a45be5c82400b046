"""Texts from strangers' files, as a line of a report may repeat them."""

from carnet import terminal

LONGEST = 200  # characters


def cut(value: object, longest: int = LONGEST) -> str:
  """Returns a text without control characters, cut at `longest`."""
  text = str(value)
  short = text if len(text) <= longest else text[:longest] + "..."
  return terminal.printable(short)
