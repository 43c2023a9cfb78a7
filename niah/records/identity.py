"""The identity of a run: what all of its cells share (protocol, needles, seed ..), compared before cells are added."""

import json
from collections.abc import Mapping
from typing import Any

from niah.system import folders

_HASHES = {"ids_sha256", "content_sha256", "classes_sha256", "groups_sha256"}


def publishable_identity(identity: Mapping[str, object]) -> dict[str, Any]:
    """Return the identity as run.json stores it: types of JSON, absolute paths cut to their last part."""
    plain = json.loads(json.dumps(dict(identity)))
    published: dict[str, Any] = folders.published(plain)
    return published


def identity_differences(
    stored: Mapping[str, Any],
    requested: Mapping[str, object],
    stored_clips: object,
    requested_clips: int | None,
) -> list[str]:
    """Return one phrase for each part in which two identities differ; empty where they are one run.

    Runs of versions that did not hash the content of the clips are compared by their clips' ids; those that did not
    hash the classes, by the name of their list. Recordings of the clips count where both have hashed them.

    Args:
        stored: Identity in run.json; older runs have whole paths in it.
        requested: Identity of the run that is to be written.
        stored_clips: Number of clips in run.json, "?" where unknown; for the message.
        requested_clips: Number of clips of the run that is to be written, None where unknown; for the message.
    """
    there, now = publishable_identity(stored), publishable_identity(requested)
    differences = [
        f"{name} is {_short(there.get(name))} there, {_short(now.get(name))} now"
        for name in sorted({*there, *now} - _HASHES)
        if there.get(name) != now.get(name)
    ]
    content, classes, groups = (
        [each.get(name) for each in (there, now)]
        for name in ("content_sha256", "classes_sha256", "groups_sha256")
    )
    if there.get("ids_sha256") != now.get("ids_sha256"):
        other = (
            "other clips, or other labels of them"
            if stored_clips == requested_clips
            else "other clips"
        )
        count = "?" if requested_clips is None else requested_clips
        differences.append(f"{other}: {stored_clips} there, {count} now")
    elif None not in content and len(set(content)) > 1:
        differences.append("the sound or the labels of its clips have changed since")
    elif None not in groups and len(set(groups)) > 1:
        differences.append(
            "the recordings that its clips were cut from (group) have changed since, which intervals rest on"
        )
    if None not in classes and len(set(classes)) > 1 and there.get("labels") == now.get("labels"):
        differences.append(
            f"the classes of {now.get('labels')}, or their order, have changed since"
        )
    return differences


def _short(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "..."
