"""The parts of the service proxy's bench: each module is one measurement, run in a process of its own."""
