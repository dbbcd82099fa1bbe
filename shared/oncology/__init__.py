"""The values that cross the wire between the services, and the verdicts they carry. Knows no FHIR and does no I/O."""
