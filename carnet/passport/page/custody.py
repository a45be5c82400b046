"""Where a checkpoint comes from, and what it is made of."""

from carnet import errors
from carnet.passport import context, gaps, history, schema
from carnet.passport import model as model_lib
from carnet.passport.page import markup

Element = markup.Element


def provenance(found: context.Context) -> Element:
  """Returns code, data, run, lineage and sign-off."""
  told = found.passport.provenance
  run = told.training_run
  dirty = {True: " with changes", False: "", None: " (changes not known)"}
  commit = told.training_commit
  code: list[tuple[str, markup.Child]] = [
    ("training repository", told.training_repo),
    ("commit", commit and f"{commit}{dirty[told.training_tree_dirty]}"),
    ("package", told.training_package),
    ("deployment repository", told.deployment_repo),
    ("its commit", told.deployment_repo_commit),
    ("configuration", f"{told.config_path}, sha256 {told.config_sha256}"),
    ("run", run.run_id),
    ("steps", None if run.steps is None else f"{run.steps:,}"),
    ("seed", run.seed),
    ("trained", _span(run)),
    ("log", told.run_log_path),
    ("passport by", _generator(found.passport)),
    ("sign-off", _signoff(found)),
  ]
  return markup.join(
    markup.facts([(name, _or_unknown(value)) for name, value in code]),
    _datasets(told.training_datasets),
    markup.element("h3", "Lineage"),
    _lineage(told.lineage),
  )


def _or_unknown(value: markup.Child) -> markup.Child:
  if value is None or value == "":
    return markup.element("span", "not recorded", class_="muted")
  return value


def _span(run: history.Run) -> str | None:
  if run.started_utc is None and run.finished_utc is None:
    return None
  return f"{run.started_utc or '?'} to {run.finished_utc or '?'}"


def _generator(passport: schema.Passport) -> str | None:
  made = passport.generator
  if made is None:
    return None
  return f"{made.name} {made.version}, {made.created_utc}"


def _signoff(found: context.Context) -> str | None:
  try:
    signed = found.signoff
  except errors.UserError as error:
    return str(error)
  if signed is None:
    return "none"
  who = f" by {signed.signer}" if signed.signer else ""
  accepted = ", ".join(signed.accepted_soft_checks)
  soft = f"; accepted: {accepted}" if accepted else ""
  return f"{signed.verdict}, {signed.signed_utc}{who}: {signed.reason}{soft}"


def _datasets(rows: tuple[history.Dataset, ...]) -> Element:
  body: list[tuple[markup.Child, ...]] = [
    (x.id, x.kind, _or_unknown(x.revision), x.loader_class, x.split)
    for x in rows
  ]
  head = ("data", "kind", "revision", "loader", "split")
  return markup.table("Trained on", head, body)


def _lineage(parents: tuple[history.Parent, ...]) -> Element:
  if not parents:
    return markup.element("p", "It was trained from the beginning.")
  steps = []
  for parent in parents[: markup.MOST_ROWS]:
    digest = parent.parent_passport_sha256 or parent.parent_tree_sha256
    steps.append(
      markup.element(
        "li",
        markup.element("b", parent.relation.replace("_", " ")),
        f" of {digest or 'a checkpoint without a passport'}. {parent.note}",
      )
    )
  return markup.element("ol", *steps, class_="lineage")


def model(passport: schema.Passport) -> Element:
  """Returns the class, its parameters, and what it must run with."""
  identity, internals = passport.model_identity, passport.model_internals
  pairs: list[tuple[str, markup.Child]] = [
    ("family", passport.family),
    ("class", _dotted(identity.class_module, identity.class_name)),
    *_parameters(internals.parameters),
    ("content", _digest(internals.tree_digest)),
    ("measured on", _environment(identity.environment)),
  ]
  return markup.join(
    markup.facts([(name, _or_unknown(value)) for name, value in pairs]),
    _types(passport),
    _modules(passport),
    _constraints(passport),
    _pretrained(passport),
  )


def _parameters(
  found: model_lib.Parameters | None,
) -> list[tuple[str, markup.Child]]:
  if found is None:
    return [("parameters", None)]
  return [
    ("parameters", f"{found.total_params:,}"),
    ("of them frozen", f"{found.frozen:,}"),
    ("bytes", f"{found.bytes:,}"),
  ]


def _digest(found: model_lib.TreeDigest | None) -> str | None:
  if found is None:
    return None
  return f"{found.root} over {found.leaf_count} leaves"


def _environment(found: model_lib.Environment | None) -> str | None:
  if found is None:
    return None
  return f"Python {found.python}, {found.platform}, {found.device_kind}"


def _dotted(module: str | None, name: str | None) -> str | None:
  return ".".join(filter(None, (module, name))) or None


def _types(passport: schema.Passport) -> Element | None:
  parameters = passport.model_internals.parameters
  if parameters is None:
    return None
  body: list[tuple[markup.Child, ...]] = [
    (name, f"{count:,}") for name, count in parameters.dtype_breakdown.items()
  ]
  return markup.table("Parameters by type", ("type", "parameters"), body, (1,))


def _modules(passport: schema.Passport) -> Element | None:
  tree = passport.model_internals.module_hierarchy
  if not tree:
    return None
  body: list[tuple[markup.Child, ...]] = [
    (f"{parent}/{name}" if name else parent, f"{count:,}")
    for parent, children in tree.items()
    for name, count in children.items()
  ]
  return markup.table("Modules", ("module", "parameters"), body, (1,))


def _constraints(passport: schema.Passport) -> Element | None:
  identity = passport.model_identity
  versions = identity.library_versions or {}
  bounds = identity.runtime_constraints
  wanted = bounds.required_versions if bounds else {}
  body: list[tuple[markup.Child, ...]] = [
    (name, wanted.get(name, ""), versions.get(name, ""))
    for name in dict.fromkeys([*wanted, *versions])
  ]
  if not body:
    return None
  head = ("library", "must be", "was")
  table = markup.table("Libraries", head, body)
  known = bounds.known_incompatible if bounds else ()
  breaking = [
    markup.element("li", f"{x.package} {x.specifier}: {x.reason}")
    for x in known[: markup.MOST_ROWS]
  ]
  if not breaking:
    return table
  heading = markup.element("h3", "Known to break it")
  return markup.join(table, heading, markup.element("ul", *breaking))


def _pretrained(passport: schema.Passport) -> Element | None:
  rows = passport.model_internals.pretrained_provenance
  if not rows:
    return None
  body: list[tuple[markup.Child, ...]] = [
    (
      x.submodule,
      x.source_identifier,
      _or_unknown(x.source_revision),
      _or_unknown(x.file_sha256),
    )
    for x in rows
  ]
  head = ("part", "source", "revision", "sha256")
  return markup.table("Trained elsewhere", head, body)


def files(passport: schema.Passport) -> Element:
  """Returns every file that travels with the checkpoint."""
  listed = passport.weight_integrity.weight_files
  body: list[tuple[markup.Child, ...]] = [
    (x.path, x.role, f"{x.size_bytes:,}", markup.element("code", x.sha256))
    for x in listed
  ]
  total = sum(x.size_bytes for x in listed)
  return markup.element(
    "details",
    markup.element("summary", f"{len(listed)} files, {total / 1e6:,.1f} MB"),
    markup.table("Files", ("file", "role", "bytes", "sha256"), body, (2,)),
  )


def issues(passport: schema.Passport) -> Element:
  """Returns what a consumer must know, and what nobody filled in."""
  body: list[tuple[markup.Child, ...]] = [
    (x.id, x.severity, x.title, x.affected, x.workaround)
    for x in passport.known_issues
  ]
  known: Element = markup.element("p", "No issues are known.")
  if body:
    head = ("issue", "severity", "title", "affects", "workaround")
    known = markup.table("Known issues", head, body)
  return markup.join(known, _open_fields(passport))


def _open_fields(passport: schema.Passport) -> Element | None:
  body: list[tuple[markup.Child, ...]] = [
    (gap.path, gap.what, gap.who) for gap in gaps.find(passport)
  ]
  head = ("open field", "what it is", "who can fill it")
  return markup.table("Left open", head, body) if body else None
