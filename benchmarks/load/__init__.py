"""A ward under load, with everything that goes wrong between two servers. What is run is `benchmarks.load_and_faults`."""
