"""Read a data set of the hub: shard by shard, no more of them than the wanted number of clips needs.

The sounds are decoded by this package from the files' own bytes, so they do not change with a library's version.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from niah.errors import NiahError
from niah.needles.hub.listing import Listing, Shard, list_dataset
from niah.needles.hub.shards import choose_shards, name_of
from niah.needles.hub.spec import HubSpec, parse
from niah.needles.readers.parquet import ShardReader
from niah.needles.readers.rows import NeedleRows, Request
from niah.system import hub
from niah.system.download import sha256_of, why_no_binary


@dataclass(frozen=True)
class HubNeedles:
    """A set's clips, from the shards that were read, and the spec that gives them again."""

    rows: NeedleRows
    pinned: HubSpec


def read(text: str, request: Request, limit: int | None) -> HubNeedles:
    """Read the clips of a data set, in shards until there are `limit` of them.

    Args:
        text: `hf:OWNER/NAME..` (`niah.needles.hub.spec`).
        request: vocabulary and strictness.
        limit: number of clips with a label that are needed; None: all.

    Returns:
        All clips of those shards: 1 or more shards, the first in path order.

    Raises:
        NiahError: no such set, revision, split or column, no access, no network, or no clip with a label.
    """
    spec = parse(text)
    listing = list_dataset(spec.repository, spec.revision)
    chosen = choose_shards(listing, spec)
    pinned = replace(
        spec, revision=listing.commit, config=chosen.config, split=name_of(chosen.split)
    )
    request = replace(
        request,
        filters=spec.filters,
        audio_column=spec.audio,
        label_column=spec.labels,
        dataset_card=listing.card,
        alike=True,
    )
    reader = ShardReader(request, pinned.short())
    n_read = 0
    for shard in chosen.shards:
        path = _fetched(listing, shard, f"shard {n_read + 1} of {len(chosen.shards)}")
        n_clips = reader.add(path, shard.path.removesuffix(".parquet"))
        n_read += 1
        if limit is not None and n_clips >= limit:
            break
    rows = reader.rows()
    licence = listing.licence
    notes = [f"{pinned.short()}: licence {licence}", *listing.notes, *chosen.notes]
    if (limit is not None and limit < len(rows.needles)) or n_read < len(chosen.shards):
        notes.append(
            f"of the {len(rows.needles)} clips in {n_read} of {len(chosen.shards)} shards of {pinned.short()}, "
            f"{limit} are taken, stratified; --limit N for another number"
        )
    return HubNeedles(replace(rows, licence=licence, notes=(*notes, *rows.notes)), pinned)


def _fetched(listing: Listing, shard: Shard, which: str) -> Path:
    """Return a shard's file, fetched into the hub's own cache if need be and then checked."""
    repository = listing.repository
    if path := hub.cached_from_hub(repository, shard.path, listing.commit, "dataset"):
        return path
    try:
        path = hub.fetch_from_hub(repository, shard.path, listing.commit, "dataset")
    except NiahError as error:
        reason = hub.why_refused(error, f"datasets/{repository}", listing.commit) or str(error)
        raise NiahError(
            f"needles hf:{repository}: {shard.path} ({which}) cannot be fetched: {reason}"
        ) from error
    expected = shard.sha256 or hub.sha256_stored_as(path)
    if expected and sha256_of(path) != expected:
        raise NiahError(f"{path}: checksum differs from the hub's; {hub.discard(path)}")
    if not expected and (reason := why_no_binary(path)):
        raise NiahError(f"{path}: is no Parquet file: {reason}; {hub.discard(path)}")
    return path
