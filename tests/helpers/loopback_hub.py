"""A Hugging Face hub on this machine: repositories of files, their listing, and refusals as the hub words them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "5a5a5a5" + "c" * 33


@dataclass
class Repository:
    """Files by path; `card` is the metadata of its README."""

    files: Mapping[str, bytes]
    card: Mapping[str, Any] = field(default_factory=dict)
    commit: str = COMMIT
    gated: bool = False

    def has(self, revision: str) -> bool:
        return revision in ("main", self.commit)


class _Answers(BaseHTTPRequestHandler):
    server: "LoopbackHub"

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        self.server.tokens.add(self.headers.get("Authorization", ""))
        is_api, rest = path.startswith("/api/"), path.removeprefix("/api/").removeprefix("/")
        kind = "datasets/" if rest.startswith("datasets/") else "models/"
        names = rest.removeprefix("datasets/").removeprefix("models/").split("/")
        owner, name, *parts = names if len(names) > 1 else ("", "")
        if self.server.busy:
            self.server.busy -= 1
            self._refuse(503, "")
            return
        repository = self.server.repositories.get(f"{kind}{owner}/{name}")
        if repository is None:
            self._refuse(401, "RepoNotFound")
        elif is_api and parts[:1] == ["commits"]:
            self._send(json.dumps([_commit(repository.commit)]).encode())
        elif not repository.has(parts[1] if len(parts) > 1 else "main"):
            self._refuse(404, "RevisionNotFound")
        elif is_api:
            self._send(json.dumps(_information(f"{owner}/{name}", repository)).encode())
        elif repository.gated:
            self._refuse(403, "GatedRepo")
        elif (file := "/".join(parts[2:])) not in repository.files:
            self._refuse(404, "EntryNotFound")
        else:
            content = repository.files[file]
            etag = hashlib.sha256(content).hexdigest()
            if self.server.damages:
                content = content[:100] + bytes([content[100] ^ 1]) + content[101:]
            self._send(content, {"X-Repo-Commit": repository.commit, "ETag": f'"{etag}"'})

    def _send(self, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(200)
        for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


class LoopbackHub(ThreadingHTTPServer):
    """The server: `repositories` by "datasets/OWNER/NAME" or "models/OWNER/NAME", its requests and their tokens.

    It refuses the next `busy` requests, and sends files with a flipped bit while it `damages` them.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.tokens: set[str] = set()
        self.busy = 0
        self.damages = False

    def fetched(self) -> list[str]:
        """Return the paths of the files whose content was sent."""
        return [each[4:] for each in self.requests if each[:4] == "GET " and "/resolve/" in each]


@contextmanager
def serving_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """Serve a hub, and set the library's endpoint and cache to it, as HF_ENDPOINT and HF_HOME do at its import."""
    with LoopbackHub() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        use_endpoint(f"http://127.0.0.1:{server.server_address[1]}", monkeypatch)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield server
        server.shutdown()


def use_endpoint(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + rest)


def _information(name: str, repository: Repository) -> dict[str, Any]:
    files = [
        {
            "rfilename": path,
            "size": len(content),
            "lfs": {
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
                "pointerSize": 130,
            },
        }
        for path, content in repository.files.items()
    ]
    return {
        "id": name,
        "sha": repository.commit,
        "siblings": files,
        "cardData": dict(repository.card),
        "tags": [],
        "gated": "auto" if repository.gated else False,
    }


def _commit(commit: str) -> dict[str, Any]:
    return {
        "id": commit,
        "title": "Add",
        "message": "",
        "date": "2026-01-01T00:00:00.000Z",
        "authors": [],
    }
