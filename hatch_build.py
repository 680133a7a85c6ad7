"""Compiles the native recurrence when the package is built, if there is a C compiler; see nn/native/build.py."""

import runpy
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = "rnn_lightning/nn/native"


class NativeRecurrence(BuildHookInterface):
    """Puts the compiled library into the wheel or, for an editable install, beside its module.

    The wheel then works only on this platform, but with every version of Python. Without a compiler, the wheel works on
    every platform, and the layers run on torch's kernels. A library in the tree is never added to a wheel, because git
    and the builder ignore it. Each wheel gets a library that was compiled for this wheel.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles the library; if that fails, prints why and continues the build."""
        native = Path(self.root, NATIVE)
        script = runpy.run_path(str(native / "build.py"))
        library = script["LIBRARY"]
        self.folder = tempfile.TemporaryDirectory()
        target = native / library if version == "editable" else Path(self.folder.name, library)
        try:
            script["build"](target)
        except RuntimeError as error:
            print(f"Without the native recurrence: {error}", file=sys.stderr)
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        if version != "editable":
            build_data["force_include"][str(target)] = f"{NATIVE}/{library}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes the library that was compiled for this wheel."""
        self.folder.cleanup()
