"""What can be wrong with a checkpoint, as errors that name the place."""

from carnet import errors


class CorruptError(errors.UserError):
  """A step directory is not what was written: another step may still be."""


class MismatchError(errors.UserError):
  """A sound checkpoint does not fit what it is to be loaded into."""


class SaveError(errors.UserError):
  """A save did not reach the disk; the steps saved before are untouched."""


class FormatError(errors.UserError):
  """A step is of a format that another version of this library reads."""
