"""A pull request on the Hugging Face hub with a model's `.eval_results`."""

from pathlib import Path

from niah.errors import NiahError
from niah.publish.eval_results import FILE, FOLDER
from niah.system.hub import one_line


def open_request(repository: str, file: Path, description: str) -> str:
    """Open a pull request that adds the results to a model's repository.

    The token is the hub's own (`hf auth login`, or `HF_TOKEN`).

    Args:
        repository: OWNER/NAME of the model.
        file: the YAML.
        description: of the request.

    Returns:
        The address of the request.

    Raises:
        NiahError: there is no token, or the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if get_token() is None:
        raise NiahError(
            f"no Hugging Face token: set HF_TOKEN or run `hf auth login`; or open the request by hand with {file}"
        )
    operation = CommitOperationAdd(f"{FOLDER}/{FILE}", file.read_bytes())
    try:
        commit = HfApi().create_commit(
            repository,
            [operation],
            commit_message="Add Audio NIAH evaluation results",
            commit_description=description,
            create_pr=True,
        )
    except Exception as error:  # the library's own differ with its version
        raise NiahError(
            f"the hub does not open a request for {repository}: {one_line(error)}"
        ) from error
    return str(commit.pr_url or f"{repository} has these results already")
