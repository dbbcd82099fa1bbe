"""Every code of a site of spread, and every code of the primary, is read as what it names.

The codes are written down here once more, from the mCODE 4.0.0 value sets, the OpenSAFELY list, ICD-O-3, the MII oncology profiles,
DICOM CID 7600 (nodes) and the eHDSI body sites, so that a slip in the rules does not pass for the truth.
"""

from __future__ import annotations

from typing import Any

import pytest

from examples.codes import SCT
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.stage import Staging
from tests.staging.case import Chart, Diagnosis, bundle

DISORDERS = """
    lung 94391008 353741000119106 353561000119103 12246601000119101 | pleura 94493005 94678001 | mediastinum 94409002 | liver 94381002
    bone 94222008 94602001 94478006 | bone-marrow 94217008 | brain 94225005 94246001 | meninges 722671009 1155991005
    spinal-cord 94600009 | adrenal 94161006 353721000119100 353571000119109 | spleen 94603006 | kidney 94360002 | pancreas 94459006
    skin 94579000 | soft-tissue 94264008 94432003 94253005 94272005 94484009 | breast 94297009 | thyroid 94634005
    peritoneum 94627008 188445006 94479003 94624001 | omentum 94626004 | retroperitoneum 94628003 | small-intestine 94580002
    large-intestine 94365007 94538001 | rectum 94513006 94511008 369452007 369459003
    bladder 94186002 94171008 94500000 94647000 94660006 369473007 369480009 | ureter 94659001 | urethra 94661005
    ovary 94455000 369527008 369534005 369563008 369571007 | fallopian-tube 94295001 | vagina 94668004 369580007 369585002
    vulva 94681006 369510000 | uterus 94665001 369495006 369577006 | parametrium 94465006 | other 369599003
    node-supraclavicular 94614009 94338000 94528006 94615005 | node-neck 94397007 303194003 | node-mediastinal 94408005 94351005
    node-axillary 94181007 94398002 | node-inguinal 94339008 94612008 94299007 94395004 269617008 94340005 | node-mesenteric 94410007
    node-pelvic 94350006 94336001 94330007 94446003 94464005 94469000 | node-mesorectal 94466007 | node-abdominal 94347008 94519005
    node-multiple 94396003 303201005 | node-unspecified 94392001 | unknown 274088005 128462008 405843009 314992001 369607002 94480000
"""
TOPOGRAPHY = """
    lung C34.1 | pleura C38.4 | mediastinum C38.1 C38.3 | liver C22.0 | bone C40.2 C41.4 | bone-marrow C42.1 | brain C71.9 | meninges C70.9
    spinal-cord C72.0 | adrenal C74.9 | spleen C42.2 | kidney C64.9 | pancreas C25.0 | skin C44.5 | soft-tissue C49.5 | breast C50.9
    thyroid C73.9 | peritoneum C48.1 C48.2 | retroperitoneum C48.0 | small-intestine C17.0 | large-intestine C18.7 | rectum C20.9
    bladder C67.9 | ureter C66.9 | urethra C68.0 | ovary C56.9 | fallopian-tube C57.0 | vagina C52.9 | vulva C51.9 | uterus C54.1 C55.9
    node-neck C77.0 | node-mediastinal C77.1 | node-abdominal C77.2 | node-axillary C77.3 | node-inguinal C77.4 | node-pelvic C77.5
    node-multiple C77.8 | node-unspecified C77.9 | unknown C80.9
"""
STRUCTURES = """
    lung 39607008 | pleura 3120008 | mediastinum 72410000 | liver 10200004
    bone 119186007 35769007 73903008 118645006 54735007 22356005 85710004 | bone-marrow 14016003
    brain 12738006 | adrenal 23451007 | spleen 78961009 | kidney 64033007 | skin 39937001 | soft-tissue 87784001
    peritoneum 118762006 15425007 | omentum 27398004 | large-intestine 60184004 | rectum 34402009 | bladder 89837001 393006
    ureter 87953007 | ovary 15497006 | vagina 76784001 263355003 | uterus 35039007 | parametrium 45682005
    node-supraclavicular 76838003 81132008 9659009 421861001 | node-para-aortic 35783009 | node-axillary 68171009 16051009 283001 44914007
    node-neck 81105003 312501005 279145002 279144003 68915008 5727003 58130000
    node-mediastinal 62683002 53074004 47109002 5296000 25447008 127925003 65690001 28330007 82365008 371013005 196516004 245341003
    node-inguinal 279763008 8928004 65266007 113340006 4942000 | node-mesenteric 279795009 49394004 113336002 299993000
    node-pelvic 245294005 84219008 65349008 245357003 245295006 36086000 1187336003 54268001 69255009 279271008 79926007 3243006 5394000
    node-pelvic 16228004 64556009 41145006 34625003 279189002 60227002 50193000 40242007 42472007 | node-mesorectal 21875007
    node-abdominal 818991007 91394001 890324005 249708006 47985009 61492009 280824006 | node-unspecified 59441001
"""
REGISTRY = """
    lung PUL 258332000 | bone OSS 258333005 | liver HEP 258334004 | brain BRA 313367003 | node-unspecified LYM 258336002
    bone-marrow MAR 14016003 | pleura PLE 258337006 | peritoneum PER 258338001 | adrenal ADR 258339009 | skin SKI 258340006
    other OTH 258348004 | unknown GEN 405843009
"""
PRIMARY = """
    C53.9 363354003 372024009 285432005 423973006 1259433006 1259493008 22288000 | C53.8 188183000 109880006 188180002
    C53.0 372097009 93779009 | C53.1 372099007 93789008 | C53.9/8070/3 254886006 | C53.9/8140/3 254887002 184781000119102
    C53.0/8140/3 123842006 | C53.9/8560/3 254888007 1259387001 | C53.9/8015/3 766930002 | C53.9/8980/3 764951002
    C53.9/8246/3 722683006 773775004 | C53.9 733834006 1054001000000101 533371000000109 698181000000101 549611000000107 549621000000101
    C53.8 188184006 | C53.0 188176007 188177003 372098004 549601000000105 | C53.1 372100004 | C53.0/8140/3 208041000119100
    C53.9/8200/3 763064007 | C53.9/8098/3 763063001
"""
# Disorders of the cervix that are no carcinoma, from the OpenSAFELY list.
STRANGE = "8890/3 763771009 | 8900/3 763408003 | 8933/3 764847000 | 9473/3 766248004"
MORPHOLOGY = """
    8070/3 1162767002 | 8085/3 783212001 | 8086/3 783213006 | 8140/3 1187332001 | 8483/3 1157177004 | 8482/3 703569004
    8310/3 30546008 | 9110/3 2221008 | 8560/3 59367005 | 8246/3 1286767006 | 8980/3 63264007 | 8140/3 35917007
    8010/3 68453008 1187425009 | 8041/3 74364000 | 8045/3 21326004 | 8013/3 128628002 | 8240/3 1286768001 | 8200/3 11671000
    8430/3 4079000 | 8480/3 72495009 | 8490/3 87737001
"""
# Morphologies to which FIGO for carcinoma does not apply, from the eHDSI 8.1.0 value set and an HL7 Lithuania one.
STRANGE_CELLS = """
    8720/3 1162635006 | 8730/3 70594002 | 8800/3 1187396000 | 8810/3 53654007 | 8850/3 1162815008 | 8890/3 1163022006 | 8900/3 30924005
    9040/3 63211008 | 9061/3 1162765005 | 9120/3 863926008 39000009 | 9140/3 1179374007 | 9260/3 76909002 | 9364/3 703707001
    9581/3 88195001 | 9590/3 1163043007 | 9591/3 1172592001 | 9650/3 1163005009 | 9673/3 74654000 | 9680/3 1172695008 | 9687/3 77381001
    9690/3 55150002 | 9699/3 397350003
"""


def pairs(table: str) -> list[tuple[str, str]]:
    """(name, code) of a table: a line or a bar ends a group, its first word is the name."""
    groups = [group.split() for line in table.splitlines() for group in line.split("|") if group.strip()]
    return [(name, code) for name, *codes in groups for code in codes]


def staged(chart: Chart) -> Staging:
    return stage(read_bundle(bundle(chart)), rules())


def sites(chart: Chart) -> list[str]:
    return [m.site for m in staged(chart).metastases]


@pytest.mark.parametrize(("site", "code"), pairs(DISORDERS))
def test_a_disorder_names_its_site(site: str, code: str) -> None:
    assert sites(Chart(spread=[Diagnosis(snomed=code)])) == [site]


@pytest.mark.parametrize(("site", "code"), pairs(TOPOGRAPHY))
def test_a_topography_names_the_site_of_a_disorder_that_has_none(site: str, code: str) -> None:
    assert sites(Chart(spread=[Diagnosis(snomed="128462008", topography=code)])) == [site]


@pytest.mark.parametrize(("site", "code"), pairs(STRUCTURES))
def test_a_structure_names_the_site_of_a_disorder_that_has_none(site: str, code: str) -> None:
    vague = "94392001" if site.startswith("node") else "128462008"

    assert sites(Chart(spread=[Diagnosis(snomed=vague, site=code)])) == [site]


@pytest.mark.parametrize(("site", "code"), pairs(REGISTRY))
def test_the_german_registry_names_its_site(site: str, code: str) -> None:
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": SCT, "code": "385421009"}]},
        "valueCodeableConcept": {"coding": [{"system": SCT if code.isdigit() else "urn:obds", "code": code}]},
    }

    assert sites(Chart(fhir=[observation])) == [site]


@pytest.mark.parametrize(("tumour", "code"), pairs(PRIMARY))
def test_a_disorder_of_the_cervix_is_the_primary(tumour: str, code: str) -> None:
    site, _, histology = tumour.partition("/")
    primary = staged(Chart(condition=Diagnosis(snomed=code))).primary

    assert (primary.site, primary.histology, primary.applies) == (site, histology or None, True)


@pytest.mark.parametrize(("histology", "code"), pairs(MORPHOLOGY))
def test_a_morphology_in_snomed_is_its_icd_o(histology: str, code: str) -> None:
    assert staged(Chart(condition=Diagnosis(icd10cm="C53.9", histology_snomed=code))).primary.histology == histology


@pytest.mark.parametrize(("histology", "code"), pairs(STRANGE))
def test_a_disorder_that_is_no_carcinoma_is_outside_the_scope(histology: str, code: str) -> None:
    answer = staged(Chart(condition=Diagnosis(snomed=code)))

    assert (answer.primary.applies, answer.primary.histology, [i.code for i in answer.issues]) == (False, histology, ["outside-scope"])


@pytest.mark.parametrize(("histology", "code"), pairs(STRANGE_CELLS))
def test_a_morphology_that_is_no_carcinoma_is_outside_the_scope(histology: str, code: str) -> None:
    answer = staged(Chart(condition=Diagnosis(icd10cm="C53.9", histology_snomed=code)))

    assert (answer.primary.applies, answer.primary.histology, [i.code for i in answer.issues]) == (False, histology, ["outside-scope"])


@pytest.mark.parametrize("code", ["188469005", "254889004", "254890008", "314970000", "314992001", "94290006", "369497003"])
def test_what_is_no_invasive_primary_is_not_taken_for_one(code: str) -> None:
    assert staged(Chart(condition=Diagnosis(snomed=code))).primary.applies is False


def test_the_rules_know_no_other_codes() -> None:
    known = rules()
    every = known.sites
    assert {code for system, code in known.site_codes if system == SCT and ":" not in code} == {code for _, code in pairs(DISORDERS)}
    assert {code for _, code in known.site_structures} == {code for _, code in pairs(STRUCTURES)}
    assert {code for rule in every.sites for code in rule.obds} == {code for _, code in pairs(REGISTRY) if not code.isdigit()}
    assert {disorder.code for disorder in known.primary.snomed} == {code for _, code in pairs(PRIMARY + "|" + STRANGE)}
    assert set(known.primary.morphology) == {code for _, code in pairs(MORPHOLOGY + STRANGE_CELLS)}
