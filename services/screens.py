"""What a person sees in the terminal: the table of patients, and the founding cohort beside the study's own table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.journey import Seen
from shared.oncology.stage import Metastasis, Staging

# Yin 2019, Table 2, and the sums that its rows give; the text prints 14 for lung while its own total of 59 needs 16.
TABLE_2 = {"bone": 28, "lung": 16, "liver": 10, "spleen": 3, "brain": 1, "adrenal": 1}
WIDE = 4
UNWRITTEN = "unwritten: nothing was written to this server; the answer stands here only"
PATTERNS = {"one organ": 37, "distant nodes too": 20, "oligometastatic": 21}
FOOTNOTES = (
    "The study's text prints 14 for lung; its own total of 59 sites needs 16, which is what its Table 2 adds up to.",
    "One of the 48 is a sarcoma: outside a carcinoma stage, so she has no FIGO stage here; her sites are listed and counted.",
)


def patients(seen: Iterable[Seen]) -> Table:
    """One row a patient: stage in both editions, sites, what is proposed first, and where the CarePlan is."""
    table = Table(title="Patients", title_justify="left", box=SIMPLE_HEAD)
    for column in ("patient", "FIGO 2018", "could be", "FIGO 2009", "sites", "eligible"):
        table.add_column(column, justify="right" if column == "eligible" else "left", no_wrap=True)
    table.add_column("first candidate", max_width=50, overflow="ellipsis", no_wrap=True)
    table.add_column("CarePlan", max_width=9, overflow="ellipsis", no_wrap=True)
    shown = list(seen)
    for case in shown:
        table.add_row(*row(case))
    if any(_unwritten(case) for case in shown):
        table.caption, table.caption_justify = UNWRITTEN, "left"
    return table


def stuck(seen: Iterable[Seen]) -> Iterable[Text]:
    """What holds up each patient who was not answered, in full; the table has room for its beginning only."""
    return [Text(f"{case.patient} is stuck: {case.outcome.text}") for case in seen if case.state == "stuck" and case.outcome]


def touched(seen: Iterable[Seen]) -> Iterable[Text]:
    """Where a person's word stands on the server: a plan that is closed, and earlier ones that stay open."""
    found = []
    for case in seen:
        if _closed(case) and case.careplan:
            text = f"{case.patient}: {case.careplan.reference} is {case.careplan.status} on the server, by a person as far as can be told."
            found.append(f"{text} Nothing was written anew; set it back to draft there to have it on the board again.")
        for place in case.left_open or ():
            found.append(f"{case.patient}: {place} stays open as it is, because a person has touched it or one of its options.")
    return [Text(line) for line in found]


def founding(seen: Sequence[Seen]) -> RenderableType:
    """The founding cohort by pattern, the counts found beside Table 2's, and what must be said of them."""
    stagings = [case.staging for case in seen if case.staging]
    side = Table.grid(padding=(0, 3))
    side.add_row(_patterns(seen), _counts(stagings))
    return Group(side, *(Text(f"* {note}", style="dim") for note in FOOTNOTES))


def row(case: Seen) -> tuple[str, ...]:
    """The columns of `patients` for one of them."""
    name = case.patient.removeprefix("Patient/")
    if case.staging is None:
        return (name, "stuck", "", "", "", "", case.outcome.text if case.outcome else "", "")
    staging = case.staging
    if not staging.primary.applies:
        return (name, "none", "", "", _sites(staging), "", staging.primary.why_not or "", "")
    new, old = staging.editions["figo-2018"], staging.editions["figo-2009"]
    return (name, new.label or "open", _open(new.could_be), old.label or "open", _sites(staging), *_first(case), _plan(case))


def _plan(case: Seen) -> str:
    if case.careplan is None:
        return "unwritten" if _unwritten(case) else ""
    if _closed(case):
        return str(case.careplan.status)
    return "document" if case.mode == "document" else case.careplan.reference.removeprefix("CarePlan/")


def _closed(case: Seen) -> bool:
    """Whether what stands for the answer on the server is no proposal any more."""
    return case.careplan is not None and case.careplan.status not in (None, "draft", "active", "on-hold", "current")


def _unwritten(case: Seen) -> bool:
    """Whether something is proposed that the FHIR server was not given."""
    return case.mode == "page" and case.decision is not None


def _open(could_be: tuple[str, ...]) -> str:
    """What else it could be; a wide-open interval by its ends."""
    return " ".join(could_be) if len(could_be) <= WIDE else f"{could_be[0]} to {could_be[-1]}"


def _sites(staging: Staging) -> str:
    def name(m: Metastasis) -> str:
        lesions = f" x{m.lesions}" if m.lesions else ""
        return m.site + lesions + ("" if m.certainty == "definite" else "?") + ("" if m.in_window else " (later)")

    return ", ".join(name(m) for m in staging.metastases if m.site_class != "regional-node")


def _first(case: Seen) -> tuple[str, str]:
    """How many candidates are eligible of how many, and the title of the first."""
    candidates = case.recommendation.candidates if case.recommendation else ()
    if not candidates:
        return "", "none known for this stage"
    eligible = sum(c.verdict == "eligible" for c in candidates)
    undecided = "cannot tell yet: " if candidates[0].verdict == "cannot-tell" else ""
    return f"{eligible} of {len(candidates)}", undecided + candidates[0].title


def _patterns(seen: Sequence[Seen]) -> Table:
    """The cohort, one row a pattern of spread."""
    title = "Founding cohort: 48 synthetic patients by pattern of spread"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column, justify in (("patients", "right"), ("FIGO 2018", "left"), ("organs", "left"), ("distant nodes", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    rows = Counter(_pattern(case.staging) for case in seen if case.staging)
    for (organs, nodes, label), count in sorted(rows.items(), key=lambda row: (row[0][0].count("+"), row[0][1], -row[1], row[0])):
        table.add_row(str(count), label, organs, nodes)
    return table


def _pattern(staging: Staging) -> tuple[str, str, str]:
    label = staging.editions["figo-2018"].label if staging.editions else None
    organs = sorted(organ(staging))
    return " + ".join(organs), "yes" if _nodes(staging) else "", label or "none (sarcoma)"


def organ(staging: Staging) -> set[str]:
    """The definite organ metastases at diagnosis."""
    return {m.site for m in staging.metastases if m.site_class == "organ" and m.certainty == "definite" and m.in_window}


def _nodes(staging: Staging) -> bool:
    return any(m.site_class == "distant-node" and m.certainty == "definite" for m in staging.metastases)


def counted(stagings: Iterable[Staging]) -> dict[str, int]:
    """The counts of the study's Table 2 as found: patients by site, by number of organs, by nodes, oligometastatic."""
    found = list(stagings)
    sites = Counter(site for staging in found for site in organ(staging))
    return {
        **{site: sites[site] for site in TABLE_2},
        "one organ": sum(len(organ(s)) == 1 for s in found),
        "distant nodes too": sum(_nodes(s) for s in found),
        "oligometastatic": sum(s.oligometastatic.value is True for s in found),
    }


def _counts(stagings: Sequence[Staging]) -> Table:
    """The counts found, beside the study's."""
    table = Table(title="Found, and in the study (Yin 2019)", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("patients with")
    table.add_column("found", justify="right")
    table.add_column("Table 2", justify="right")
    table.add_column("")
    printed = TABLE_2 | PATTERNS
    for name, count in counted(stagings).items():
        same = count == printed[name]
        mark = Text("agrees", style="green") if same else Text("differs", style="bold red")
        table.add_row(name + ("*" if name == "lung" else ""), str(count), str(printed[name]), mark)
    return table
