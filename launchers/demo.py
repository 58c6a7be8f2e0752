"""Try a deployable in the browser."""

import sys

from rich.console import Console

from evaluation import DemoConfig
from launchers.command_line import run_command


def demo(config: DemoConfig) -> None:
    """Try a deployable in the browser, on this machine alone; not a medical device."""
    from evaluation import DemoServer, DeployablePredictor, ModelOptions, opened_predictor

    options = ModelOptions(form=config.form, threads=config.threads)
    with opened_predictor(
        config.model, tracking_uri=config.tracking_uri, options=options
    ) as predictor:
        if not isinstance(predictor, DeployablePredictor):
            raise ValueError(
                f"model={config.model} is a run or a checkpoint, the demo opens deployables. "
                "Export it first with launchers/export_deployable.py."
            )
        with DemoServer(predictor, name=config.model, port=config.port) as server:
            Console(highlight=False, soft_wrap=True).print(
                f"Open {server.url} in a browser on this machine. Ctrl-C ends it.", markup=False
            )
            server.serve_forever()


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(DemoConfig, demo)


if __name__ == "__main__":
    sys.exit(main())
