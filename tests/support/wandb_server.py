"""A stand-in for the W&B server, on loopback: what the client needs to log, resume, upload and read back.

It keeps what it is told: history rows by the offset they are posted at, as the file stream numbers them, so
that a client that starts over writes a point twice where the real server would have it twice. `faults` makes
it misbehave: an operation's name (a GraphQL operation, `file_stream` or `upload`; `*` is any) -> "error"
(500), "hang" (no answer until the server closes), "refuse" (401) or, of the file stream, "half" (takes half
of the points, and hangs).
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

ENTITY = "someone"
KEY = "0" * 40
HISTORY = "wandb-history.jsonl"
STATUS = {"error": 500, "refuse": 401}


@dataclass
class StoredRun:
    """One run as the server knows it. `points`: history rows by offset; `files`: uploads by name."""

    name: str
    project: str
    entity: str
    display_name: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    points: dict[int, dict[str, Any]] = field(default_factory=dict)
    state: str = "running"
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows in order."""
        return [self.points[offset] for offset in sorted(self.points)]

    @property
    def values(self) -> dict[str, Any]:
        """The config without W&B's own wrapping."""
        return {key: item["value"] for key, item in self.config.items() if not key.startswith("_")}


@dataclass
class StoredArtifact:
    """One version of an artifact. `contents`: the uploads by their path in it."""

    name: str
    kind: str
    digest: str
    committed: bool = False
    contents: dict[str, bytes] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """What is stored, what was asked (`asked`: counts by operation), and how to misbehave."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed in these tests: their connections break."""

    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, StoredRun] = {}
        self.artifacts: dict[str, StoredArtifact] = {}
        self.faults: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.unknown: set[str] = set()
        self.closing = threading.Event()
        self.changed = threading.Condition(threading.RLock())

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find it."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_MODE": "online"}

    def wait_until(self, so: Callable[[], bool], seconds: float = 60) -> None:
        """Until a request has made it so."""
        with self.changed:
            assert self.changed.wait_for(so, seconds), f"asked so far: {dict(self.asked)}"

    def run(self, name: str, project: str = "", entity: str = "") -> StoredRun:
        """The run of that name, made if need be."""
        if name not in self.runs:
            self.runs[name] = StoredRun(name, project, entity or ENTITY)
        return self.runs[name]


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server for as long as the block runs."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""

    def do_POST(self) -> None:
        body = json.loads(self._body() or b"{}")
        path = urlsplit(self.path).path
        if path == "/graphql":
            query = body["query"]
            named = re.search(r"(?:query|mutation)\s+(\w+)", query)
            operation = named[1] if named else ""
            if self._allowed(operation):
                answer = getattr(Answers, operation, None)
                if answer is None:
                    self.server.unknown.add(operation)
                with self.server.changed:
                    data = answer(self.server, body.get("variables") or {}) if answer else {}
                self._reply({"data": data})
        elif found := re.fullmatch(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream", path):
            if self._allowed("file_stream"):
                self._stream(self.server.run(unquote(found[3])), body)
        else:
            self.server.unknown.add(path)
            self._reply({}, 404)

    def do_PUT(self) -> None:
        data = self._body()
        if not self._allowed("upload"):
            return
        _, kind, owner, name = urlsplit(self.path).path.split("/", 3)
        with self.server.changed:
            target = (
                self.server.run(unquote(owner)).files
                if kind == "run-file"
                else self.server.artifacts[owner].contents
            )
            target[unquote(name)] = data
        self._reply({})

    def do_GET(self) -> None:
        _, kind, owner, name = (*urlsplit(self.path).path.split("/", 3), "", "", "")[:4]
        files = self.server.artifacts[owner].contents if kind == "artifact" else {}
        data = files.get(unquote(name))
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def _stream(self, run: StoredRun, body: dict[str, Any]) -> None:
        half = self.server.faults.get("file_stream") == "half" and HISTORY in (body.get("files") or {})
        with self.server.changed:
            _store(run, body, half)
            self.server.changed.notify_all()
        if half:
            self._hang()
        else:
            self._reply({})

    def _hang(self) -> None:
        self.server.closing.wait()
        self.close_connection = True

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _allowed(self, operation: str) -> bool:
        server = self.server
        with server.changed:
            server.asked[operation] += 1
            server.changed.notify_all()
            fault = server.faults.get(operation) or server.faults.get("*")
        if fault == "hang":
            self._hang()
        elif fault in STATUS:
            self._reply({"errors": [{"message": fault}]}, STATUS[fault])
        return fault in (None, "half")

    def _reply(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        with contextlib.suppress(OSError):  # the client may be dead
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


def _store(run: StoredRun, body: dict[str, Any], half: bool) -> None:
    for name, chunk in (body.get("files") or {}).items():
        if name == HISTORY:
            lines = chunk["content"][: len(chunk["content"]) // 2] if half else chunk["content"]
            for i, line in enumerate(lines):
                run.points[chunk["offset"] + i] = json.loads(line)
        elif name == "wandb-summary.json" and not half:
            run.summary = json.loads(chunk["content"][-1])
    if body.get("complete") and not half:
        run.state = "failed" if body.get("exitcode") else "finished"


class Answers:
    """Answers to GraphQL operations by name, from the server and the variables."""

    @staticmethod
    def Viewer(server: Server, given: dict[str, Any]) -> Any:
        return {
            "viewer": {
                "id": "1",
                "entity": ENTITY,
                "username": ENTITY,
                "email": "",
                "flags": "{}",
                "teams": {"edges": []},
            }
        }

    @staticmethod
    def GetDefaultEntity(server: Server, given: dict[str, Any]) -> Any:
        return {"viewer": {"id": "1", "entity": ENTITY}}

    @staticmethod
    def ServerFeaturesQuery(server: Server, given: dict[str, Any]) -> Any:
        return {"serverInfo": {"features": []}}

    @staticmethod
    def UpsertBucket(server: Server, given: dict[str, Any]) -> Any:
        run = server.run(given["name"], given.get("project") or "uncategorized", given.get("entity") or "")
        fresh = not run.config
        named = {"display_name": "displayName", "group": "groupName", "job_type": "jobType", "notes": "notes"}
        for mine, theirs in (named | {"tags": "tags", "state": "state"}).items():
            if given.get(theirs):
                setattr(run, mine, given[theirs])
        if given.get("config"):
            run.config = json.loads(given["config"])
        if given.get("summaryMetrics"):
            run.summary = json.loads(given["summaryMetrics"])
        return {"upsertBucket": {"bucket": _bucket(run), "inserted": fresh}}

    @staticmethod
    def RunResumeStatus(server: Server, given: dict[str, Any]) -> Any:
        run = server.runs.get(given["name"])
        owner = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": ENTITY}}
        return {"model": owner | {"bucket": _bucket(run) | _progress(run) if run else None}}

    @staticmethod
    def CreateRunFiles(server: Server, given: dict[str, Any]) -> Any:
        files = [
            {"name": name, "uploadUrl": f"{server.url}/run-file/{given['run']}/{name}"}
            for name in given["files"]
        ]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}

    @staticmethod
    def Runs(server: Server, given: dict[str, Any]) -> Any:
        wanted = json.loads(given.get("filters") or "{}")
        of_project = [r for r in server.runs.values() if r.project == given["project"]]
        found = [run for run in of_project if wanted.get("group") in (None, run.group)]
        first = int(given.get("cursor") or 0)
        page = found[first : first + given["perPage"]]
        edges = [{"node": _node(run), "cursor": str(first + i + 1)} for i, run in enumerate(page)]
        more = {"endCursor": str(first + len(page)), "hasNextPage": first + len(page) < len(found)}
        if not of_project:
            return {"project": None}
        runs = {"edges": edges, "pageInfo": more}
        return {"project": {"internalId": "1", "runCount": len(found), "readOnly": False, "runs": runs}}

    @staticmethod
    def ArtifactType(server: Server, given: dict[str, Any]) -> Any:
        return {"project": {"artifact": None}}

    @staticmethod
    def FetchArtifactDigestAlgorithm(server: Server, given: dict[str, Any]) -> Any:
        return {"project": {"artifactType": {"artifactCollection": None}}}

    @staticmethod
    def XXHashDigestsEnabled(server: Server, given: dict[str, Any]) -> Any:
        return {"entity": {"xxhashDigestsEnabled": False}}

    @staticmethod
    def CreateArtifact(server: Server, given: dict[str, Any]) -> Any:
        asked = given["input"]
        name = asked.get("artifactCollectionName") or asked["artifactCollectionNames"][0]
        same = [i for i, a in server.artifacts.items() if (a.name, a.digest) == (name, asked["digest"])]
        ident = same[0] if same else f"a{len(server.artifacts)}"
        kept = server.artifacts.setdefault(
            ident, StoredArtifact(name, asked["artifactTypeName"], asked["digest"])
        )
        if ident not in server.run(asked["runName"]).artifacts:
            server.run(asked["runName"]).artifacts.append(ident)
        state = "COMMITTED" if kept.committed else "PENDING"
        return {
            "createArtifact": {
                "artifact": {"id": ident, "state": state, "artifactSequence": {"latestArtifact": None}}
            }
        }

    @staticmethod
    def CreateArtifactManifest(server: Server, given: dict[str, Any]) -> Any:
        url = f"{server.url}/artifact/{given['artifactID']}/{given['name']}"
        file = {"id": "f", "uploadUrl": url, "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": given["artifactID"], "file": file}}}

    @staticmethod
    def UpdateArtifactManifest(server: Server, given: dict[str, Any]) -> Any:
        ident = given["artifactManifestID"]
        url = f"{server.url}/artifact/{ident}/wandb_manifest.json"
        file = {"id": "f", "uploadUrl": url, "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": {"id": ident, "file": file}}}

    @staticmethod
    def CreateArtifactFiles(server: Server, given: dict[str, Any]) -> Any:
        nodes = [
            {
                "storagePath": f"artifact/{asked['artifactID']}/{asked['name']}",
                "uploadUrl": f"{server.url}/artifact/{asked['artifactID']}/{asked['name']}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": asked["artifactID"]},
            }
            for asked in given["input"]["artifactFiles"]
        ]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    @staticmethod
    def CommitArtifact(server: Server, given: dict[str, Any]) -> Any:
        kept = server.artifacts[given["artifactID"]]
        kept.committed = True
        return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": kept.digest}}}


def _bucket(run: StoredRun) -> dict[str, Any]:
    project = {"id": "p", "name": run.project, "entity": {"id": "e", "name": run.entity}}
    return {
        "id": base64.b64encode(run.name.encode()).decode(),
        "name": run.name,
        "displayName": run.display_name,
        "description": "",
        "config": json.dumps(run.config),
        "sweepName": None,
        "project": project,
        "historyLineCount": len(run.points),
    }


def _progress(run: StoredRun) -> dict[str, Any]:
    """What a client that resumes wants to know."""
    return {
        "summaryMetrics": json.dumps(run.summary),
        "logLineCount": 0,
        "eventsLineCount": 0,
        "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
        "eventsTail": "[]",
        "tags": run.tags,
        "notes": run.notes,
        "wandbConfig": json.dumps({"t": 1}),
    }


def _node(run: StoredRun) -> dict[str, Any]:
    """A run as the public API lists it."""
    return {
        **_bucket(run),
        "projectId": "1",
        "tags": run.tags,
        "state": run.state,
        "group": run.group,
        "jobType": run.job_type,
        "commit": None,
        "readOnly": False,
        "createdAt": "2026-01-01T00:00:00Z",
        "heartbeatAt": "2026-01-01T00:00:00Z",
        "notes": run.notes,
        "systemMetrics": "{}",
        "summaryMetrics": json.dumps(run.summary),
        "user": {"name": ENTITY, "username": ENTITY},
        "historyKeys": {"lastStep": max((row["_step"] for row in run.points.values()), default=-1)},
    }
