"""Load of the machine that rank 0 runs on, under the names that MLflow has for it."""

import contextlib
import os


class SystemMetrics:
    """Reads processor, memory, disk and network, and GPUs where `nvidia-ml-py` is installed."""

    def __init__(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor  # noqa: PLC0415 -- seconds
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor  # noqa: PLC0415
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor  # noqa: PLC0415
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor  # noqa: PLC0415

        self._monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        with contextlib.suppress(ImportError, RuntimeError):  # no GPU, or nothing to ask it with
            self._monitors.append(GPUMonitor())
        self.take()  # the processor's load is counted from one look to the next

    def take(self) -> dict[str, float]:
        """Return the values since the last call; MLflow shows what begins with `system/` apart.

        MLflow's own thread that would log them ends at the first outage. As values of a row they
        are caught up as every other, and an offline run has them too.
        """
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values |= {
                f"system/{name}": float(value)
                for name, value in monitor.aggregate_metrics().items()
            }
            monitor.clear_metrics()
        return values
