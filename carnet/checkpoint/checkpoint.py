"""The state of a training run on disk, component by component.

```
with Checkpoint(workdir / "checkpoints", keep=Retention(latest=2)) as saved:
  agent = saved.register("agent", state)  # any pytree: a handle with .value
  saved.register("data", iterator)  # Grain, NNX, or state()/load_state()
  saved.attach("config.json", config)
  start = saved.load_or_save()  # resumes, or saves step 0
  for step in range(start, total_steps):
    agent.value, metrics = train_step(agent.value, next(iterator))
    if (step + 1) % 1000 == 0:
      saved.save(step + 1, metrics)  # writes in the background
```

To start from a part of another run, before `load_or_save`:

```
  if saved.latest() is None:
    saved.load(other_workdir, regex="agent/params/encoder/.*")
```

To read without the objects that were saved:

```
params = read(workdir, regex="agent/params/.*")["agent"]["params"]
config = read_json(workdir, "config.json")
```
"""

import dataclasses
import logging
import operator
import pathlib
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, SupportsIndex

from carnet import errors
from carnet.checkpoint import (
  background,
  faults,
  lineage,
  manifest,
  plan,
  processes,
  reader,
  registry,
  report,
  restore,
  retention,
  session,
  source,
  writer,
)
from carnet.checkpoint import components as components_lib
from carnet.checkpoint import directory as directory_lib

_log = logging.getLogger(__name__)
_STEPS = 10**15


class Checkpoint:
  """Saves and restores registered components as numbered steps.

  One object may write to a directory at a time, from its first save or
  `load_or_save` to `close`; any number may read. `keep=None` keeps all steps.
  Call it from one thread, of each process alike.
  """

  def __init__(
    self,
    directory: pathlib.Path | str,
    keep: retention.Retention | None = None,
    verbose: bool = True,
  ) -> None:
    if not isinstance(keep, retention.Retention | None):
      raise errors.UserError(f"keep is {keep!r}: give a checkpoint.Retention")
    self.directory = pathlib.Path(directory).absolute()
    self.skipped: dict[str, str] = {}  # unsound step -> what is wrong with it
    self._keep = keep
    self._verbose = verbose
    self._registry = registry.Registry()
    self._lineage: lineage.Lineage = ()
    self._current: int | None = None  # the step that memory and disk agree on
    self._session = session.Session(self.directory)
    self._background = background.Background(self._session.lock)

  def register(
    self, name: str, component: Any, per_process: bool | None = None
  ) -> Any:
    """Adds a component; returns what training updates.

    That is the object itself when it has `state` and `load_state` (or is an
    NNX module, or a data iterator), else a handle with `.value`.

    Args:
      name: first part of its paths.
      component: what to save.
      per_process: each of several processes saves its own state; otherwise
        the states must be equal, or shards of one. The default is True for
        data iterators and for states made of chunks.

    Raises:
      UserError: the name is taken or is not made of letters, digits, _ and -.
    """
    self._current = None  # the step on disk does not have it
    return self._registry.register(name, component, per_process)

  def attach(self, name: str, content: Any) -> None:
    """Adds a file to every later save: bytes, or a JSON value for "*.json".

    Or a function that returns either: each save calls it, in the first process
    alone if there are several.

    Raises:
      UserError: the name is taken or not relative, or JSON would change it.
    """
    self._registry.attach(name, content)

  def descend_from(self, parent: Mapping[str, Any]) -> None:
    """Adds a parent that `load` does not know; see `lineage.imported`."""
    self._lineage = lineage.extend(self._lineage, (parent,))
    self._current = None

  def save(
    self, step: SupportsIndex, metrics: Mapping[str, Any] | None = None
  ) -> bool:
    """Starts to save; returns False if this very step is saved already.

    In that case nothing is saved: count the step on after a change.

    The state is captured before this returns; it is written in the background.
    A save that is still being written is waited for. Several processes all
    call this at the same step.

    Raises:
      SaveError: the save before this one failed.
      UserError: a leaf cannot be saved, or a newer step exists.
    """
    self.wait()
    step = _whole_number(step)
    if step == self._current and step in self.steps():
      return False
    if not 0 <= step < _STEPS or not len(self._registry):
      raise errors.UserError(
        f"cannot save step {step} of {len(self._registry)} components: "
        f"register what to save, and count steps from 0 to below {_STEPS}"
      )
    self._session.begin()
    newest = self._session.newest
    if step <= newest:
      raise errors.UserError(
        f"cannot save step {step}: {self.directory} already holds step "
        f"{newest}; resume with load_or_save, or use another directory"
      )
    job = writer.Job(
      root=self.directory,
      step=step,
      payloads={},
      own=frozenset(),
      attachments=dict(self._registry.attachments),
      computed={},
      metrics={},
      lineage=self._lineage,
      keep=self._keep,
      unsound=frozenset(self._session.unsound),
      process=processes.this(),
      token=self._session.token(step),
    )
    try:
      job = self._capture(job, metrics or {})
    except BaseException as error:
      writer.give_up(job, str(error))
      raise
    self._background.start(job)
    return True

  def wait(self) -> None:
    """Waits for the save in progress.

    Raises:
      SaveError: it failed; the message says why.
    """
    step = self._background.wait()
    if step is not None:
      self._current = step
      self._session.present.add(step)
      self._session.unsound.discard(step)

  def load(
    self,
    path: pathlib.Path | str | None = None,
    components: Collection[str] | None = None,
    regex: str | None = None,
    rename: Mapping[str, str] | None = None,
    strict: bool = True,
    exclude: str | None = None,
    dry_run: bool = False,
    verify: bool = True,
  ) -> report.Report:
    """Restores registered components, all of them or the part asked for.

    Args:
      path: a step, a directory of steps, or a workdir; the default is the
        newest step of this directory. Also a checkpoint of Orbax or a
        .safetensors file. Another run becomes part of the lineage.
      components: names; the default is all, registered or stored.
      regex: must match a whole component path, such as "agent/params/.*".
      rename: pattern -> replacement, applied to stored paths before `regex`.
      strict: refuse missing, unexpected and changed leaves; otherwise they
        are left as they are.
      exclude: leaves whose whole path it matches are left as they are.
      dry_run: report what would be restored, faults included; read no leaf
        and change nothing.
      verify: compare what is read with its sha256.

    Raises:
      MismatchError: the checkpoint does not fit; it names every leaf.
      CorruptError: what was read is not what was written.
      UserError: there is no such checkpoint, or an expression is wrong.
    """
    self.wait()
    if path is None and not self.steps():
      raise errors.UserError(f"no checkpoint at {self.directory}{self._hint()}")
    self._registry.check_known(components)
    part = lineage.Part(components, regex, rename, exclude)

    def restore_from(origin: source.Source) -> report.Report:
      return self._restore(origin, part, strict, dry_run, verify)

    place = pathlib.Path(path or self.directory)
    return source.use(place, restore_from, verify)

  def load_or_save(self, step: int = 0, start_over: bool = False) -> int:
    """Loads the newest sound step, or saves `step`; returns the step.

    Unsound steps are passed over, with the reason printed and in `skipped`.

    Args:
      step: number of the first save, if the directory is empty.
      start_over: begin anew although the directory holds no sound step;
        unsound ones are renamed, not deleted.

    Raises:
      UserError: the directory holds something, but no sound step.
    """
    self.wait()
    self._session.begin()
    for path in self._session.newest_first():
      fault = self._try(path)
      if not fault:
        return int(path.name)
      self.skipped[path.name] = fault
      self._session.unsound.add(int(path.name))
      _log.warning("skipped step %s: %s", path.name, fault)
    self._clear(start_over)
    self.save(step)
    return step

  def steps(self) -> list[int]:
    """Returns the complete steps on disk, oldest first."""
    return list(directory_lib.complete(self.directory))

  def latest(self) -> int | None:
    """Returns the newest complete step on disk."""
    return max(self.steps(), default=None)

  def verify(self) -> dict[int, list[str]]:
    """Returns the faults of each step on disk; sound steps have none.

    Reads every byte. Names of damaged files and leaves are in the faults.
    """
    self.wait()
    return reader.verify_steps(self.directory)

  def close(self) -> None:
    """Waits for the save in progress and lets another writer in.

    Raises:
      SaveError: that save failed.
    """
    try:
      self.wait()
    finally:
      if not self._background.busy:  # an interrupt may leave it writing
        self._session.end()

  def __enter__(self) -> "Checkpoint":
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    try:
      self.close()
    except faults.SaveError as failure:
      if error is None:
        raise
      error.add_note(str(failure))  # the first error is the one to see

  def _restore(
    self,
    origin: source.Source,
    part: lineage.Part,
    strict: bool,
    dry_run: bool,
    verify: bool,
  ) -> report.Report:
    """Restores a part of `origin`, all of it or nothing."""
    states = self._registry.states()
    aligned, target = restore.align(origin, states, part.rename)
    rows = plan.make(
      aligned.specs(),
      target,
      part.components,
      part.regex,
      part.rename,
      part.exclude,
    )
    advice = source.advice(origin)
    summary = report.Report(
      origin.path, origin.step, rows, aligned.sizes(), dry_run, advice
    )
    if self._verbose:
      summary.print()
    if dry_run:
      return summary
    summary.check(strict)
    if isinstance(origin, source.Step) and part.is_all:
      reader.check_files(origin.path, origin.found, verify)
    merged = restore.merge(aligned, rows, states)
    self._registry.load(merged.states, states)
    self._note_origin(origin, summary, merged.digests, part)
    return summary

  def _capture(self, job: writer.Job, metrics: Mapping[str, Any]) -> writer.Job:
    states = self._registry.states()
    captured = {r: components_lib.capture(r, s) for r, s in states.items()}
    self._registry.warn_of_stale()
    own = frozenset(r for r in states if r != components_lib.name_of(r))
    return dataclasses.replace(
      job,
      payloads=captured,
      own=own,
      computed=self._registry.compute() if job.process.leads else {},
      metrics=manifest.finite_metrics(metrics),
    )

  def _note_origin(
    self,
    origin: source.Source,
    summary: report.Report,
    digests: Mapping[str, str],
    part: lineage.Part,
  ) -> None:
    """Remembers where the state comes from now."""
    older = origin.found.lineage if isinstance(origin, source.Step) else ()
    if origin.path.resolve().parent == self.directory.resolve():
      same = all(row.status == plan.RESTORED for row in summary.rows)
      self._lineage = older
      self._current = origin.step if same else None
      return
    parent = lineage.entry(origin.path, origin.step, digests, part)
    self._lineage = lineage.extend(self._lineage, (*older, parent))
    self._current = None

  def _try(self, path: pathlib.Path) -> str:
    """Loads a step; returns why not, if in any process it is damaged."""
    try:
      self.load(path)
    except Exception as error:
      return self._session.agree(path, error)
    return self._session.agree(path, None)

  def _clear(self, start_over: bool) -> None:
    present = directory_lib.foreign(self.directory)
    if present and not start_over:
      reasons = "".join(f"\n  {why}" for why in self.skipped.values())
      raise errors.UserError(
        f"{self.directory} holds {', '.join(present)} but no sound step; to "
        f"begin anew, use another directory or start_over=True{self._hint()}"
        f"{reasons}"
      )
    self._session.clear()

  def _hint(self) -> str:
    below = self.directory / directory_lib.STEPS
    return f"; did you mean {below}?" if directory_lib.numbered(below) else ""


def _whole_number(step: SupportsIndex) -> int:
  try:
    return operator.index(step)  # also numpy's integers
  except TypeError as error:
    raise errors.UserError(f"step {step!r} is not a whole number") from error
