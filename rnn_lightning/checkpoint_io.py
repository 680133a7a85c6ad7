"""`AtomicCheckpointIO`: checkpoints that are either complete or absent, written to a temporary file and renamed."""

import io
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from typing_extensions import override

from rnn_lightning.files import local_path, write_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints to a temporary file beside the final one, flushes it to disk, and renames it.

    Lightning's own plugin writes to the system's folder for temporary files. If that folder is on another file system,
    Lightning then copies the file over the last good checkpoint. A checkpoint at a URL, such as `s3://...`, is still
    written by Lightning.

    `Trainer(plugins=[AtomicCheckpointIO()])`
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Saves a checkpoint.

        Raises:
            OSError: The checkpoint cannot be written. The error names the file, and an earlier file there is unchanged.
        """
        place = local_path(path)
        if place is None or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        content = io.BytesIO()  # so that a full disk raises an OSError; torch's own writer would raise another error
        torch.save(checkpoint, content)
        write_atomically(place, content.getvalue())
