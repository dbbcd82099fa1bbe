"""The codes that the synthetic patients are written in: code systems, sites of spread, TNM values, histologies."""

from __future__ import annotations

from typing import NamedTuple

SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD_10 = "http://hl7.org/fhir/sid/icd-10"
ICD_O_3 = "http://terminology.hl7.org/CodeSystem/icd-o-3"
AJCC = "http://cancerstaging.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM = "http://unitsofmeasure.org"
THO = "http://terminology.hl7.org/CodeSystem/"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-"
CONDITION_RELATED = "http://hl7.org/fhir/StructureDefinition/condition-related"
EXTENT = "https://figaro.example/fhir/CodeSystem/extent-of-disease"
SYNTHETIC = "https://figaro.example/fhir/CodeSystem/synthetic"
SYNTHETIC_ID = "https://figaro.example/fhir/sid/synthetic"
FOUNDING_GROUP = "https://figaro.example/fhir/CodeSystem/founding-group"

CERVIX = "71252005"
SECONDARY_ANY = "128462008"  # Secondary malignant neoplastic disease: says "metastatic", never where
SECONDARY_NODE = "94392001"  # of a lymph node: says nothing of which


class Site(NamedTuple):
    """One site of spread in the code systems that send it: disorder and structure in SNOMED CT, disorder in both ICD-10."""

    name: str
    disorder: str
    cm: str
    who: str
    structure: str
    node: bool = False


SITES = {
    site.name: site
    for site in (
        Site("lung", "94391008", "C78.00", "C78.0", "39607008"),
        Site("liver", "94381002", "C78.7", "C78.7", "10200004"),
        Site("bone", "94222008", "C79.51", "C79.5", "119186007"),
        Site("brain", "94225005", "C79.31", "C79.3", "12738006"),
        Site("spleen", "94603006", "C78.89", "C78.8", "78961009"),
        Site("adrenal", "94161006", "C79.70", "C79.7", "23451007"),
        Site("peritoneum", "94627008", "C78.6", "C78.6", "15425007"),
        Site("node-supraclavicular", "94614009", "C77.0", "C77.0", "76838003", node=True),
        Site("node-mediastinal", "94408005", "C77.1", "C77.1", "62683002", node=True),
        Site("node-axillary", "94181007", "C77.3", "C77.3", "68171009", node=True),
        Site("node-inguinal", "94339008", "C77.4", "C77.4", "279763008", node=True),
        Site("node-pelvic", "94446003", "C77.5", "C77.5", "36086000", node=True),
        # SNOMED CT has no disorder of its own for para-aortic nodes: node, unspecified, with the aortic node as body site.
        Site("node-para-aortic", SECONDARY_NODE, "C77.2", "C77.2", "35783009", node=True),
    )
}

# SNOMED CT methods of looking.
IMAGING, MRI, CT, PET = "363679005", "113091000", "77477000", "82918005"
MICROSCOPY, BIOPSY, FINE_NEEDLE, EXAMINATION = "104157003", "86273004", "48635004", "5880005"
METHOD_WORDS = {
    IMAGING: "Emission computed tomography (ECT)",
    MRI: "Magnetic resonance imaging",
    CT: "Computed tomography",
    PET: "PET-CT",
    MICROSCOPY: "Light microscopy",
    BIOPSY: "Biopsy",
    FINE_NEEDLE: "Fine-needle aspiration biopsy",
    EXAMINATION: "Physical examination",
}

AJCC_9 = "1269566009"
FIGO_CERVIX = "106250008"

# Observation.code of a TNM category by letter and prefix: SNOMED CT and LOINC.
TNM_SCT = {
    "cT": "399504009",
    "pT": "384625004",
    "cN": "399534004",
    "pN": "371494008",
    "cM": "399387003",
    "pM": "371497001",
}
TNM_LOINC = {
    "cT": "21905-5",
    "pT": "21899-0",
    "cN": "21906-3",
    "pN": "21900-6",
    "cM": "21907-1",
    "pM": "21901-4",
}
# T1b3 has no clinical code that was seen: it is always sent as text.
TNM_VALUES = {
    "cT1a1": "1228893007",
    "cT1a2": "1228894001",
    "cT1b1": "1228896004",
    "cT1b2": "1228898003",
    "cT2a1": "1228932001",
    "cT2a2": "1228933006",
    "cT2b": "1228934000",
    "cT3a": "1228939005",
    "cT3b": "1228940007",
    "cT4": "1228944003",
    "pT1a1": "1228960004",
    "pT1a2": "1228961000",
    "pT1b1": "1229844006",
    "pT1b2": "1229845007",
    "cN0": "1229967007",
    "cN1": "1229973008",
    "cN2": "1229978004",
    "pN0": "1229947003",
    "pN0(i+)": "1229949000",
    "pN1mi": "1229952008",
    "pN1a": "1229954009",
    "pN2a": "1229959004",
    "cM0": "1229901006",
    "cM1": "1229903009",
    "pM1": "1229916009",
}

FIGO_VALUES = {"IIB": "C96254", "IIIB": "C96257", "IB3": "C162222", "IVB": "C96263"}
FIGO_2018, FIGO_2009 = "C186617", "C186618"


class Histology(NamedTuple):
    """A cell type: ICD-O-3 morphology, SNOMED CT morphology where one was seen, and the SNOMED CT disorder of the cervix."""

    icd_o: str
    morphology: str | None
    disorder: str
    words: str


HISTOLOGIES = {
    "squamous": Histology("8070/3", "1162767002", "254886006", "Squamous cell carcinoma"),
    "squamous-keratinizing": Histology("8071/3", None, "254886006", "Squamous cell carcinoma, keratinizing"),
    "squamous-non-keratinizing": Histology("8072/3", None, "254886006", "Squamous cell carcinoma, non-keratinizing"),
    "small-cell": Histology("8041/3", "1286767006", "773775004", "Small cell neuroendocrine carcinoma"),
    "adenocarcinoma": Histology("8140/3", "1187332001", "254887002", "Adenocarcinoma"),
    "adenosquamous": Histology("8560/3", "59367005", "254888007", "Adenosquamous carcinoma"),
    "sarcoma": Histology("8890/3", None, "363354003", "Leiomyosarcoma"),
}
