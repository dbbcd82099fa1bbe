"""What a clinician sees, in Chromium: launched by an EHR on another site, over https, with all of Figaro and a FHIR server behind it."""
