"""The TNM categories beside a derived stage: those on record are referred to, those derived from findings are written (mCODE 4.0.0).

What we derive is AJCC version 9, which mirrors FIGO 2018. A recorded category keeps its own version and prefix, so it is not written again.
Codes: mCODE 4.0.0 staging types and methods; values as in the CanShare value sets, not re-checked on a terminology server.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.fhir.assertion import MCODE, Json, concept, observation
from shared.fhir.codes import AJCC, LOINC, SNOMED, codes
from shared.fhir.dates import later
from shared.oncology.record import Finding, Record
from shared.oncology.stage import SiteClass, Staging

EXTENT = "https://figaro.example/fhir/CodeSystem/extent-of-disease"
VERSION_9 = "1269566009"


class Axis(NamedTuple):
    """One axis: its profile, the codes of Observation.code, and which findings and sites of spread tell of it."""

    profile: str
    general: str
    clinical: str
    pathological: str
    loinc: frozenset[str]
    told_by: frozenset[str]
    spread: frozenset[SiteClass]


_LOCAL = """confined-to-cervix microscopic-only stromal-invasion-depth horizontal-width tumour-size vagina-upper-two-thirds
vagina-lower-third parametrium pelvic-wall hydronephrosis non-functioning-kidney bladder-wall bullous-oedema bladder-mucosa rectal-wall
rectal-mucosa bowel-contiguous 21889-1 33728-7"""
AXES = {
    "t": Axis(
        MCODE + "mcode-tnm-primary-tumor-category",
        "78873005",
        "399504009",
        "384625004",
        frozenset({"21905-5", "21899-0", "21911-3"}),
        frozenset(_LOCAL.split()),
        frozenset({"adjacent"}),
    ),
    "n": Axis(
        MCODE + "mcode-tnm-regional-nodes-category",
        "277206009",
        "399534004",
        "371494008",
        frozenset({"21906-3", "21900-6", "21912-1"}),
        frozenset({"pelvic-nodes", "para-aortic-nodes", "regional-nodes"}),
        frozenset({"regional-node"}),
    ),
    "m": Axis(
        MCODE + "mcode-tnm-distant-metastases-category",
        "277208005",
        "399387003",
        "371497001",
        frozenset({"21907-1", "21901-4", "21913-9"}),
        frozenset({"distant-organ", "distant-nodes", "inguinal-nodes", "peritoneal-spread"}),
        frozenset({"organ", "peritoneal", "distant-node"}),
    ),
}
# Imaging and physical examination make a category clinical. Histology alone does not make it pathological: a biopsy is not a resection.
_CLINICAL = frozenset({"363679005", "113091000", "77477000", "82918005", "16310003", "363680008", "5880005"})
_FINAL = frozenset({"final", "amended", "corrected"})
_PREFIX = re.compile(r"^\s*(yc|yp|rp|[cprya])?\s*([TNM])?\s*(?=[0-4x]|is)", re.IGNORECASE)


class Category(NamedTuple):
    """One category beside the stage: `source` is the finding that records it, or `resource` the Observation that is derived."""

    axis: str
    source: str | None = None
    resource: Json | None = None


def categories(record: Record, staging: Staging, *, issued: str | None = None) -> list[Category]:
    """T, N and M as staging has them, those that are known."""
    found = []
    for name, axis in AXES.items():
        value: str | None = getattr(staging.tnm, name)
        if value is None:
            continue
        if (given := _recorded(record, axis, value)) is not None:
            found.append(Category(name, source=given.source))
        else:
            found.append(Category(name, resource=_derived(record, staging, axis, value, issued)))
    return found


def _recorded(record: Record, axis: Axis, value: str) -> Finding | None:
    """The finding that records the category: of several the pathological one, then the newest."""
    own = {(SNOMED, axis.general), (SNOMED, axis.clinical), (SNOMED, axis.pathological), *((LOINC, code) for code in axis.loinc)}
    found = [
        (prefix == "p", f.when or "", f.source, f)
        for f in record.findings
        if f.kind == "observation" and f.status in _FINAL and own.intersection(codes(f.concept))
        for prefix in [_says(f, axis, value)]
        if prefix is not None and prefix[:1] not in ("y", "r", "a")
    ]
    return max(found, key=lambda it: it[:3])[3] if found else None


def _says(finding: Finding, axis: Axis, value: str) -> str | None:
    """The prefix ("c", "p", "" where none) under which the finding records the category; None where it records another."""
    said = finding.value.concept
    for pair in codes(said):
        if pair[0] == SNOMED:
            for prefix, values in VALUES.items():
                if pair[1] == values.get(value):
                    return prefix[0]
    words = [word for c in said.codings if c.system != SNOMED for word in (c.code, c.display)] if said else []
    words += [c.display for c in said.codings if c.system == SNOMED] if said else []
    for word in (*words, said.text if said else None, finding.value.text):
        text = (word or "").rpartition("#")[2]
        if (match := _PREFIX.match(text)) is not None:
            rest = text[match.end() :].replace(" ", "").lower()
            wanted = value[1:].lower()
            if rest == wanted or rest.partition("(")[0] == wanted:
                return (match.group(1) or ("p" if (SNOMED, axis.pathological) in codes(finding.concept) else "")).lower()
    return None


def _derived(record: Record, staging: Staging, axis: Axis, value: str, issued: str | None) -> Json:
    sources = _evidence(record, staging, axis)
    seen = [f for f in record.findings if f.source in sources]
    clinical = bool(seen) and all({code for _, code in codes(f.method)} & _CLINICAL for f in seen)
    text = f"c{value}" if clinical else value
    known = VALUES[text[:2]].get(value) if clinical else None
    profile = axis.profile.removeprefix(MCODE)
    return {
        **observation(record, staging.primary.condition, sources, profile=profile, issued=issued),
        "code": concept(SNOMED, axis.clinical if clinical else axis.general),
        # mCODE's widest value set allows SNOMED's values, which are all clinical or pathological, and the symbols of the AJCC itself.
        "valueCodeableConcept": concept(SNOMED, known, text) if known else concept(AJCC, text, text),
        "method": concept(SNOMED, VERSION_9, "AJCC version 9"),
        "note": [{"text": "Derived by rule, not yet reviewed."}],
    }


def _evidence(record: Record, staging: Staging, axis: Axis) -> set[str]:
    """What tells of an axis: findings up to the end of the window, later ones where the stage rests on them, and definite spread.

    Where nothing tells of it by itself (distant metastasis present, and no site), what the stage rests on.
    """
    cited = {edition: {s for b in staged.because for s in b.sources} for edition, staged in staging.editions.items()}
    later_on = {s for m in staging.metastases if not m.in_window for s in m.sources}
    end = staging.window.end
    found = {
        f.source
        for f in record.findings
        if f.kind == "observation"
        and f.status in (*_FINAL, "preliminary")
        and any(system in (EXTENT, LOINC) and code in axis.told_by for system, code in codes(f.concept))
        and f.source not in later_on
        and (any(f.source in of for of in cited.values()) or not (end and later(f.when or f.recorded or "", end)))
    }
    found |= {s for m in staging.metastases if m.in_window and m.certainty == "definite" and m.site_class in axis.spread for s in m.sources}
    return found or cited.get("figo-2018", set())


def _pairs(text: str) -> dict[str, str]:
    """ "T1 1228889001 …" as a table of category and SNOMED CT code."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


# There is no code for a clinical T1b3, and no category pM0.
VALUES = {
    "cT": _pairs("""TX 1222604002 T0 1228882005 Tis 1228884006 T1 1228889001 T1a 1228892002 T1a1 1228893007 T1a2 1228894001 T1b 1228895000
        T1b1 1228896004 T1b2 1228898003 T2 1228929004 T2a 1228931008 T2a1 1228932001 T2a2 1228933006 T2b 1228934000 T3
        1228938002 T3a 1228939005 T3b 1228940007 T4 1228944003"""),
    "pT": _pairs("""T0 1228951007 T1 1228957006 T1a 1228959009 T1a1 1228960004 T1a2 1228961000 T1b 1228962007 T1b1 1229844006 T1b2
        1229845007 T1b3 1285095005 T2 1229852009 T2a 1229853004 T2a1 1229854005 T2a2 1229855006 T2b 1229856007 T3 1229859000
        T3a 1229860005 T3b 1229861009 T4 1229864001"""),
    "cN": _pairs("""NX 1229966003 N0 1229967007 N0(i+) 1229971005 N1 1229973008 N1mi 1229974002 N1a 1229975001 N2 1229978004 N2mi
        1229980005 N2a 1229981009"""),
    "pN": _pairs("""NX 1229945006 N0 1229947003 N0(i+) 1229949000 N1 1229951001 N1mi 1229952008 N1a 1229954009 N2 1229957002 N2mi
        1229958007 N2a 1229959004"""),
    "cM": _pairs("M0 1229901006 M1 1229903009"),
    "pM": _pairs("M1 1229916009"),
}
