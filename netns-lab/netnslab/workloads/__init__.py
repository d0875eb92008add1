"""What keeps pods running: scheduler, workload and node lifecycle controllers, load-balancer addresses."""

from netnslab.workloads.controllers import Settings, run

__all__ = ["Settings", "run"]
