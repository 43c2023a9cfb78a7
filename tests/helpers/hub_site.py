"""A Hugging Face hub on this machine: repositories of models are folders, each at one commit."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

BRANCH = "main"


class HubSite(ThreadingHTTPServer):
    """Serves `folders` by OWNER/NAME; `gated` ones are refused to all, and `requests` keeps what was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folders: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.requests: list[tuple[str, str, str]] = []  # method, path, authorisation

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, repository: str) -> str:
        return hashlib.sha1(repository.encode()).hexdigest()

    def bodies(self) -> list[str]:
        """Names of the files that were sent, not only asked after."""
        return [path.split("/")[-1] for method, path, _ in self.requests if method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        site = self.server
        assert isinstance(site, HubSite)
        path = self.path.partition("?")[0]
        site.requests.append((self.command, path, self.headers.get("Authorization", "")))
        parts = path.strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if is_api else parts[:2])
        revision = parts[5] if is_api and parts[4:5] == ["revision"] else BRANCH
        if not is_api and parts[2:3] == ["resolve"]:
            revision = parts[3]
        commit = site.commit(repository)
        if repository not in site.folders:
            self._send(401, error="RepoNotFound")
        elif repository in site.gated:
            self._send(403, error="GatedRepo")
        elif revision not in (BRANCH, commit):
            self._send(404, error="RevisionNotFound")
        elif is_api:
            files = sorted(p for p in site.folders[repository].iterdir() if p.is_file())
            siblings = [{"rfilename": file.name} for file in files]
            info = {"id": repository, "sha": commit, "siblings": siblings}
            self._send(200, json.dumps(info).encode(), commit)
        else:
            file = site.folders[repository].joinpath(*parts[4:])
            if file.is_file():
                self._send(200, file.read_bytes(), commit)
            else:
                self._send(404, error="EntryNotFound", commit=commit)

    def _send(self, status: int, body: bytes = b"", commit: str = "", error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the endpoint, as `HF_ENDPOINT` does when the library is imported."""
    rest = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + rest)


@contextmanager
def hub_site(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubSite]:
    """Serve a hub that huggingface_hub takes for its own, with a cache of its own, while the block lasts."""
    with HubSite() as site:
        threading.Thread(target=site.serve_forever, args=(0.02,), daemon=True).start()
        point_at(site.url, monkeypatch)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield site
        site.shutdown()
