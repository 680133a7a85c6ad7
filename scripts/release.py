"""Makes a release: sets the version, splits the changelog, commits, tags, and builds files for the package index.

    python scripts/release.py 0.2.0 --dry_run    # everything in a temporary clone; this repository is not changed
    python scripts/release.py 0.2.0              # the same, then adds the commit and the tag here and the files to dist/

The script needs the extra `dev`. The packages get the repository's address (of the remote `origin`, or from
`--repository`) as `project.urls` and in README's links, because a package index shows README without the other files.
auditwheel makes a wheel with a compiled part portable to other Linux systems. To get wheels that can be published, run
the script in a manylinux image, once per platform. Then upload the files yourself: `twine upload dist/*`.
"""

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION = "rnn_lightning/__init__.py"


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Returns a command's output; ends the release if the command fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def split_changelog(text: str) -> tuple[str, str, str]:
    """Returns the text before the unreleased changes, the changes, and the text after them."""
    match = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", text, re.M | re.S)
    if match is None or not match[1].strip():
        sys.exit("error: CHANGELOG.md has nothing under ## [Unreleased]: there is nothing to release")
    return text[: match.start()], match[1].strip(), text[match.end() :]


def substitute(path: Path, pattern: str, text: str) -> None:
    """Replaces the only match in a file."""
    new, count = re.subn(pattern, text, path.read_text(), flags=re.M)
    if count != 1:
        sys.exit(f"error: {path.name} has {count} lines like {pattern}, but one was expected")
    path.write_text(new)


def absolute(text: str, address: str, tag: str) -> str:
    """Returns a Markdown text with its relative links pointing to the repository, at the release's tag."""

    def link(match: re.Match[str]) -> str:
        return f"{match[1]}]({address}/{'raw' if match[1].startswith('!') else 'blob'}/{tag}/{match[2]})"

    return re.sub(r"(!?\[[^\]]*)\]\((?!\w+:|#)([^)\s]+)\)", link, text)


def commit(folder: Path, version: str, today: str) -> None:
    """Writes the version into a clone's files, and makes the commit and the tag."""
    before, changes, after = split_changelog((folder / "CHANGELOG.md").read_text())
    (folder / "CHANGELOG.md").write_text(
        f"{before}## [Unreleased]\n\n## [{version}] - {today}\n\n{changes}\n{after and chr(10)}{after}"
    )
    substitute(folder / VERSION, r'^__version__ = ".*"$', f'__version__ = "{version}"')
    substitute(folder / "CITATION.cff", r"^version: .*$", f"version: {version}")
    substitute(folder / "CITATION.cff", r"^date-released: .*$", f"date-released: {today}")
    run("git", "commit", "--quiet", "--all", "--message", f"Release {version}", cwd=folder)
    notes = f"{version}\n\n{changes}"
    run("git", "tag", "--annotate", f"v{version}", "--cleanup=whitespace", "--message", notes, cwd=folder)


def packages(folder: Path, version: str, address: str | None) -> list[Path]:
    """Builds the source archive and the wheel of a clone."""
    if address:
        address = re.sub(r"^git@([^:]+):", r"https://\1/", address).removesuffix(".git")
        readme = folder / "README.md"
        readme.write_text(absolute(readme.read_text(), address, f"v{version}"))
        urls = f'[project.urls]\nRepository = "{address}"\nChangelog = "{address}/blob/v{version}/CHANGELOG.md"\n'
        substitute(folder / "pyproject.toml", r"^\[project\.scripts\]$", f"{urls}\n[project.scripts]")
    else:
        print(
            "no remote origin and no --repository: the packages will have no project.urls, and README's links stay relative"
        )
    run(sys.executable, "-m", "build", "--outdir", "dist", cwd=folder)
    for wheel in (folder / "dist").glob("*-linux_*.whl"):  # a package index does not accept such a wheel
        run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", "dist", wheel, cwd=folder)
        wheel.unlink()
    run(sys.executable, "-m", "twine", "check", "--strict", *(folder / "dist").iterdir(), cwd=folder)
    return sorted((folder / "dist").iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="of the release, such as 0.2.0")
    parser.add_argument("--dry_run", action="store_true", help="do not change this repository")
    parser.add_argument("--repository", help="the repository's address (default: the address of the remote origin)")
    options = parser.parse_args()
    if not re.fullmatch(r"\d+\.\d+\.\d+", options.version):
        parser.error(f"{options.version} is not a version: give three numbers, such as 0.2.0")
    if run("git", "status", "--porcelain"):
        sys.exit("error: there are uncommitted changes: commit or remove them first")
    if run("git", "tag", "--list", f"v{options.version}"):
        sys.exit(f"error: the tag v{options.version} already exists: choose the next version")
    remotes = run("git", "remote").split()
    address = options.repository or (run("git", "remote", "get-url", "origin") if "origin" in remotes else None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "clone")
        run("git", "clone", "--quiet", ROOT, folder)
        for key in ("user.name", "user.email"):
            run("git", "config", key, run("git", "config", key), cwd=folder)
        commit(folder, options.version, os.environ.get("RELEASE_DATE") or datetime.date.today().isoformat())
        print(run("git", "show", "--stat", "--format=%B", f"v{options.version}", cwd=folder))
        for path in packages(folder, options.version, address):
            print(f"{path.name}, {path.stat().st_size:,} bytes")
            if not options.dry_run:
                (ROOT / "dist").mkdir(exist_ok=True)
                shutil.copy(path, ROOT / "dist")
        if not options.dry_run:
            run("git", "pull", "--quiet", "--ff-only", "--tags", folder, f"v{options.version}")


if __name__ == "__main__":
    main()
