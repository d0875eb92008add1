"""The parts of a control plane that keep pods running: scheduler, workload controllers, load-balancer addresses."""

from netnslab.workloads.controllers import Settings, run

__all__ = ["Settings", "run"]
