"""The demo's web server: on this machine alone, with one page that loads nothing from elsewhere."""

import base64
import dataclasses
import io
import json
import logging
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from evaluation.deployable.predict import Prompt
from evaluation.deployable.predictor import DeployablePredictor
from evaluation.segmentation.prompt_file import prompt_from_json

from .images import DemoImages, FoundMask
from .uploads import MAX_UPLOAD_BYTES

LOOPBACK = "127.0.0.1"
MAX_QUESTION_BYTES = 64 * 1024
PAGE = Path(__file__).parent
PAGE_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/demo.css": ("demo.css", "text/css; charset=utf-8"),
    "/demo.js": ("demo.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
IDLE_SECONDS = 60

_logger = logging.getLogger(__name__)


class DemoServer(ThreadingHTTPServer):
    """Serves the page, and answers what it asks; `url` is where."""

    daemon_threads = True

    def __init__(self, predictor: DeployablePredictor, *, name: str, port: int) -> None:
        """Bind the port; 0 takes any free one.

        Raises:
            OSError: The port is taken.
        """
        self.images = DemoImages(predictor)
        self.model_name = name
        try:
            super().__init__((LOOPBACK, port), _DemoHandler)
        except OSError as error:
            raise OSError(
                f"port={port} cannot be used ({error.strerror}). Give another, or port=0 for any."
            ) from error
        self.hosts = {f"{host}:{self.server_port}" for host in (LOOPBACK, "localhost")}
        self.url = f"http://{LOOPBACK}:{self.server_port}/"


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _DemoHandler(BaseHTTPRequestHandler):
    server_version, sys_version = "samuspretrain-demo", ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def log_message(self, format: str, *args: object) -> None:
        _logger.debug(format, *args)

    @property
    def _demo(self) -> DemoServer:
        return cast(DemoServer, self.server)

    def _respond(self, answer: Any) -> None:  # noqa: ANN401 -- a bound method
        try:
            self._check_sender()
            status, (kind, body) = HTTPStatus.OK, answer()
        except _RefusedError as error:
            status, (kind, body) = error.status, _as_json({"error": str(error)})
        except KeyError:
            text = "This image is no longer open. Open it again."
            status, (kind, body) = HTTPStatus.GONE, _as_json({"error": text})
        except (ValueError, TypeError) as error:
            status, (kind, body) = HTTPStatus.BAD_REQUEST, _as_json({"error": str(error)})
        except ConnectionError:
            return  # the page went away while it was sending
        except Exception as error:  # onnxruntime's errors share no class but this
            _logger.exception("The model failed:")
            text = f"The model failed: {error}"
            status, (kind, body) = HTTPStatus.INTERNAL_SERVER_ERROR, _as_json({"error": text})
        try:
            self._send(status, kind=kind, body=body)
        except ConnectionError:
            _logger.debug("The page went away before it was answered.")

    def _send(self, status: HTTPStatus, *, kind: str, body: bytes) -> None:
        self.send_response(status)
        for header, value in HEADERS.items():
            self.send_header(header, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _check_sender(self) -> None:
        """Refuse other sites: a name that leads to this machine, or a page that is not ours."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        is_ours = origin is None or origin in {f"http://{own}" for own in self._demo.hosts}
        if host not in self._demo.hosts or not is_ours:
            text = f"This page is only served as {self._demo.url}."
            raise _RefusedError(HTTPStatus.FORBIDDEN, text)

    def _get(self) -> tuple[str, bytes]:
        if self.path in PAGE_FILES:
            name, kind = PAGE_FILES[self.path]
            return kind, (PAGE / name).read_bytes()
        if self.path == "/model":
            return _as_json(describe_model(self._demo))
        if self.path.startswith("/image/"):
            pixels = self._demo.images.image(self.path.removeprefix("/image/")).pixels
            return "image/png", _png(pixels)
        raise _RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _post(self) -> tuple[str, bytes]:
        if self.path == "/image":
            token = self._demo.images.open(self._body(MAX_UPLOAD_BYTES))
            image = self._demo.images.image(token)
            rows, columns = image.pixels.shape[:2]
            spacing = image.scale.spacing_millimetres
            return _as_json({"token": token, "rows": rows, "columns": columns, "spacing": spacing})
        if self.path == "/answer":
            token, prompt = _read_question(self._body(MAX_QUESTION_BYTES))
            found = self._demo.images.answer(token, prompt=prompt)
            return _as_json({"masks": [_describe_mask(one) for one in found]})
        raise _RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _body(self, limit: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "The request does not say its length.")
        if int(length) > limit:
            text = f"The file has {int(length) / 2**20:.0f} MB; up to {limit >> 20} MB are taken."
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        return self.rfile.read(int(length))


def describe_model(demo: DemoServer) -> dict[str, Any]:
    """Return what the page must know of the model before it is asked anything."""
    predictor = demo.images.predictor
    about = predictor.segmenter.preprocessing
    return {
        "name": demo.model_name,
        "is_automatic": predictor.is_automatic,
        "prompt_kinds": [] if predictor.is_automatic else about["prompt_kinds"],
        "categories": list(predictor.categories or about["categories"]),
        "max_upload_bytes": MAX_UPLOAD_BYTES,
    }


def _read_question(body: bytes) -> tuple[str, Prompt]:
    question = json.loads(body)
    if not isinstance(question, dict):
        raise TypeError(f"The question is a {type(question).__name__}, an object is expected.")
    token = str(question.pop("token", ""))
    return token, prompt_from_json("The question", question)


def _describe_mask(found: FoundMask) -> dict[str, Any]:
    picture = base64.b64encode(_png(found.mask.astype(np.uint8) * 255)).decode("ascii")
    return {"name": found.name, "png": picture} | dataclasses.asdict(found.measurement)


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def _as_json(content: Any) -> tuple[str, bytes]:  # noqa: ANN401 -- whatever JSON can say
    return "application/json", json.dumps(content).encode()
