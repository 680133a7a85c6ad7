"""`AtomicCheckpointIO`: checkpoints that are either complete or absent, written to a temporary file and renamed."""

import io
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from typing_extensions import override

from rnn_lightning.files import local_path, write_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints beside their place, flushes them to the disk, and renames them.

    Lightning's own goes through the folder for temporary files. If that is on another file system, the last step is
    a copy over the last good checkpoint. A checkpoint at a URL, such as `s3://...`, is still written by Lightning.

    `Trainer(plugins=[AtomicCheckpointIO()])`
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Saves a checkpoint.

        Raises:
            OSError: It cannot be written; it names the file, and an earlier file there is unchanged.
        """
        place = local_path(path)
        if place is None or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        content = io.BytesIO()  # a full disk is then an OSError, which torch's own writer makes something else of
        torch.save(checkpoint, content)
        write_atomically(place, content.getvalue())
