"""A whole export staged: NDJSON in, one row a patient out, by the reader and the rules of everywhere else.

    plan → scan every piece (whose is each line, does it name the cervix) → find the patients → gather their lines → stage → merge

A library: `stage` and what names the cervix are handed in, so that no service is imported. Each step leaves whole files only, so that a
run that was cut off goes on, and the result is the same bytes whichever engine did the work.
"""
