"""Patients beside the founding cohort whose disease is local, regional, or not what it seems: every stage from IA1 to IVA."""

from __future__ import annotations

from examples import codes
from examples.cases import Expected, Script, case, expect
from examples.findings import NO_LOCAL_SPREAD, NO_NODES, NO_SPREAD, absent, category, primary, recorded_stage, secondary, size
from examples.resources import Chart, coding, concept, quantity, snomed

SCRIPTS: list[Script] = []


def regional(figo_2018: str, node: str) -> Expected:
    return expect(figo_2018) | {"regional": frozenset({node})}


@case(SCRIPTS, "ia1-microscopic", expect("IA1"))
def ia1(chart: Chart) -> None:
    primary(chart, encoding="cm")
    chart.extent("microscopic-only", chart.on(), by=codes.MICROSCOPY)
    chart.extent("stromal-invasion-depth", chart.on(), by=codes.MICROSCOPY, valueQuantity=quantity(2.1, "mm"))
    chart.extent("horizontal-width", chart.on(), by=codes.MICROSCOPY, valueQuantity=quantity(5, "mm"))
    chart.extent("confined-to-cervix", chart.on(6), by=codes.MRI)
    absent(chart, *NO_NODES, *NO_SPREAD)


@case(SCRIPTS, "ia2-pathological-t", expect("IA2"))
def ia2(chart: Chart) -> None:
    primary(chart)
    category(chart, "pT1a2", 2)
    category(chart, "cN0")
    category(chart, "cM0")


@case(SCRIPTS, "ib1-invaded-corpus", expect("IB1"))
def ib1(chart: Chart) -> None:
    """Growth into the corpus does not change the stage."""
    primary(chart, "adenocarcinoma", "snomed")
    chart.extent("confined-to-cervix", chart.on(6), by=codes.MRI)
    chart.extent("uterine-corpus", chart.on(6), by=codes.MRI)
    chart.extent("stromal-invasion-depth", chart.on(), by=codes.MICROSCOPY, valueQuantity=quantity(9, "mm"))
    size(chart, 15)
    absent(chart, *NO_NODES, *NO_SPREAD)


@case(SCRIPTS, "ib2-exactly-four-centimetres", expect("IB2"))
def ib2(chart: Chart) -> None:
    """The boundary belongs to the lower substage."""
    primary(chart)
    chart.extent("confined-to-cervix", chart.on(6), by=codes.MRI)
    absent(chart, "microscopic-only", by=codes.MICROSCOPY)
    size(chart, 40, ours=False)
    absent(chart, *NO_NODES, *NO_SPREAD)


@case(SCRIPTS, "ib3-by-text", expect("IB3"))
def ib3(chart: Chart) -> None:
    primary(chart, encoding="who")
    size(chart, chart.rng.randint(44, 61))
    for label in ("cT1b3", "cN0", "cM0"):
        category(chart, label, writing="loinc")


@case(SCRIPTS, "iia1-vaginal-fornix", expect("IIA1"))
def iia1(chart: Chart) -> None:
    primary(chart, encoding="generic")
    chart.extent("vagina-upper-two-thirds", chart.on(5), by=codes.EXAMINATION)
    absent(chart, "vagina-lower-third", "parametrium", *NO_LOCAL_SPREAD, by=codes.MRI)
    size(chart, chart.rng.randint(24, 38), ours=False)
    absent(chart, *NO_NODES, *NO_SPREAD)


@case(SCRIPTS, "iia2-bulky", expect("IIA2"))
def iia2(chart: Chart) -> None:
    primary(chart, "adenosquamous")
    for label in ("cT2a2", "cN0", "cM0"):
        category(chart, label)
    size(chart, chart.rng.randint(44, 58))


@case(SCRIPTS, "iib-parametrium", expect("IIB"))
def iib(chart: Chart) -> None:
    primary(chart)
    for label in ("cT2b", "cN0", "cM0"):
        category(chart, label)
    size(chart, chart.rng.randint(34, 62), ours=False)


@case(SCRIPTS, "iiia-lower-vagina", expect("IIIA"))
def iiia(chart: Chart) -> None:
    primary(chart, encoding="cm")
    for label in ("cT3a", "cN0", "cM0"):
        category(chart, label, writing="ajcc")


@case(SCRIPTS, "iiib-hydronephrosis", expect("IIIB"))
def iiib(chart: Chart) -> None:
    primary(chart, "squamous-keratinizing")
    chart.extent("parametrium", chart.on(6), by=codes.MRI)
    chart.extent("hydronephrosis", chart.on(6), by=codes.MRI)
    absent(chart, "bladder-mucosa", "rectal-mucosa", by=codes.MRI)
    absent(chart, *NO_NODES, *NO_SPREAD)


@case(SCRIPTS, "ib3-hydronephrosis-of-other-cause", expect("IB3"))
def other_cause(chart: Chart) -> None:
    """An obstruction with another known cause is not the tumour's."""
    primary(chart)
    chart.extent("confined-to-cervix", chart.on(6), by=codes.MRI)
    chart.extent("hydronephrosis", chart.on(6), by=codes.MRI)
    chart.extent("obstruction-other-cause", chart.on(7), by=codes.EXAMINATION)
    size(chart, chart.rng.randint(46, 60))
    absent(chart, *NO_NODES, *NO_SPREAD)


@case(SCRIPTS, "iiic1r-small-tumour", regional("IIIC1r", "node-pelvic"))
def iiic1r(chart: Chart) -> None:
    """A positive node lifts even a small tumour."""
    primary(chart)
    category(chart, "cT1b1")
    size(chart, 17)
    chart.extent("pelvic-nodes", chart.on(6), by=codes.MRI, site="36086000")
    secondary(chart, codes.SITES["node-pelvic"], chart.on(6), "snomed")
    absent(chart, "para-aortic-nodes", *NO_SPREAD)


@case(SCRIPTS, "iiic1r-over-iiib", regional("IIIC1r", "node-pelvic"))
def iiic1r_t3b(chart: Chart) -> None:
    """IIIC1 outranks IIIB; the T category stays."""
    primary(chart, encoding="who")
    category(chart, "cT3b")
    chart.extent("hydronephrosis", chart.on(6), by=codes.CT)
    chart.extent("pelvic-nodes", chart.on(6), by=codes.CT)
    absent(chart, "para-aortic-nodes", *NO_SPREAD)


@case(SCRIPTS, "iiic1p-micrometastasis", regional("IIIC1p", "node-pelvic"))
def iiic1p(chart: Chart) -> None:
    primary(chart)
    category(chart, "cT1b2")
    category(chart, "pN1mi")
    deposit = {"code": concept(coding(codes.EXTENT, "largest-deposit")), "valueQuantity": quantity(1.1, "mm")}
    chart.extent("pelvic-nodes", chart.on(8), by=codes.MICROSCOPY, components=[deposit])
    absent(chart, "para-aortic-nodes", *NO_SPREAD)


@case(SCRIPTS, "ib1-isolated-tumour-cells", expect("IB1"))
def isolated_cells(chart: Chart) -> None:
    """Isolated tumour cells do not make a node positive."""
    primary(chart)
    category(chart, "cT1b1")
    category(chart, "pN0(i+)")
    category(chart, "cM0")


@case(SCRIPTS, "iiic2r-para-aortic", regional("IIIC2r", "node-para-aortic"))
def iiic2r(chart: Chart) -> None:
    """Para-aortic nodes are regional, and the pelvic level may be skipped."""
    primary(chart, encoding="snomed")
    category(chart, "cT2b")
    chart.extent("para-aortic-nodes", chart.on(8), by=codes.PET)
    secondary(chart, codes.SITES["node-para-aortic"], chart.on(8), "generic")
    absent(chart, "pelvic-nodes", *NO_SPREAD, by=codes.PET)


@case(SCRIPTS, "iiic2p-staging-lymphadenectomy", regional("IIIC2p", "node-para-aortic"))
def iiic2p(chart: Chart) -> None:
    primary(chart, "adenocarcinoma")
    category(chart, "cT1b2")
    category(chart, "pN2a")
    chart.extent("para-aortic-nodes", chart.on(8), by=codes.MICROSCOPY)
    absent(chart, *NO_SPREAD)


@case(SCRIPTS, "iva-bladder-mucosa", expect("IVA"))
def iva(chart: Chart) -> None:
    """Mucosa of the bladder, proven by biopsy."""
    primary(chart)
    chart.extent("parametrium", chart.on(6), by=codes.MRI)
    chart.extent("bladder-wall", chart.on(6), by=codes.MRI)
    chart.extent("bladder-mucosa", chart.on(9), by=codes.BIOPSY)
    size(chart, chart.rng.randint(52, 70))
    absent(chart, *NO_NODES, *NO_SPREAD)


@case(SCRIPTS, "not-iva-mucosa-on-imaging-only", expect("IIB") | {"could_be": ("IVA",)})
def mucosa_on_imaging(chart: Chart) -> None:
    """Mucosa that was only seen on imaging leaves IVA open; it does not set it."""
    primary(chart)
    chart.extent("parametrium", chart.on(6), by=codes.MRI)
    chart.extent("bladder-mucosa", chart.on(6), by=codes.MRI)
    absent(chart, "vagina-lower-third", *[fact for fact in NO_LOCAL_SPREAD if fact != "bladder-mucosa"], by=codes.MRI)
    absent(chart, *NO_NODES, *NO_SPREAD)


@case(SCRIPTS, "carcinoma-in-situ", expect(None, applies=False))
def in_situ(chart: Chart) -> None:
    codings = (coding(codes.SCT, "254889004", "Carcinoma in situ of uterine cervix"), coding(codes.ICD_10_CM, "D06.9"))
    chart.condition("primary", concept(*codings), chart.on())


@case(SCRIPTS, "refuted-diagnosis", expect(None, applies=False))
def refuted(chart: Chart) -> None:
    """The biopsy did not confirm what was suspected."""
    primary(chart, encoding="cm", verification="refuted")


@case(SCRIPTS, "secondary-of-the-cervix", expect(None, applies=False))
def secondary_of_cervix(chart: Chart) -> None:
    """A metastasis to the cervix is another cancer's."""
    chart.condition("cervix", snomed("188469005", "Secondary malignant neoplasm of cervix uteri"), chart.on())


@case(SCRIPTS, "iib-nodes-never-looked-for", expect("IIB") | {"could_be": ("IIIC1", "IIIC2")})
def missing_nodes(chart: Chart) -> None:
    primary(chart)
    category(chart, "cT2b")
    category(chart, "cM0")


@case(SCRIPTS, "iib-metastases-never-looked-for", expect("IIB") | {"could_be": ("IVB",)})
def missing_metastases(chart: Chart) -> None:
    primary(chart)
    category(chart, "cT2b", writing="loinc")
    category(chart, "cN0", writing="loinc")


@case(SCRIPTS, "recorded-iib-derived-iiic1", regional("IIIC1r", "node-pelvic"))
def conflict(chart: Chart) -> None:
    """The recorded stage and the findings disagree: both are shown."""
    primary(chart)
    category(chart, "cT2b")
    chart.extent("pelvic-nodes", chart.on(6), by=codes.MRI, site="65349008")
    absent(chart, "para-aortic-nodes", *NO_SPREAD)
    recorded_stage(chart, "IIB")
