"""`scripts/release.py`, on small texts; the whole is tried by `--dry_run`."""

import pytest
import release

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\nA thing.\n\n## [0.1.0] - 2026-01-01\n\n- All.\n"


def test_the_changelog_is_cut_at_its_headings():
    assert release.split_changelog(CHANGELOG) == (
        "# Changelog\n\n",
        "### Added\n\nA thing.",
        "## [0.1.0] - 2026-01-01\n\n- All.\n",
    )
    with pytest.raises(SystemExit, match="nothing under"):
        release.split_changelog("# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n")


def test_the_committed_changelog_and_citation_have_what_a_release_changes(tmp_path):
    for name in ("CHANGELOG.md", "CITATION.cff", release.VERSION):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((release.ROOT / name).read_text())
    for command in (["init", "--quiet"], ["add", "."], ["config", "user.name", "x"], ["config", "user.email", "x@x"]):
        release.run("git", *command, cwd=tmp_path)
    release.commit(tmp_path, "1.2.3", "2027-01-02")
    assert "## [Unreleased]\n\n## [1.2.3] - 2027-01-02\n\n### Added\n\n" in (tmp_path / "CHANGELOG.md").read_text()
    assert '__version__ = "1.2.3"\n' in (tmp_path / release.VERSION).read_text()
    assert "version: 1.2.3\ndate-released: 2027-01-02\n" in (tmp_path / "CITATION.cff").read_text()
    assert release.run("git", "tag", "--list", "--format=%(contents)", cwd=tmp_path).startswith("1.2.3\n\n### Added")


def test_relative_links_lead_to_the_tag_and_others_stay():
    text = "![a](docs/a.png) [b](docs/b.md#c) [d](https://d) [e](#f)"
    assert release.absolute(text, "https://host/us/it", "v1") == (
        "![a](https://host/us/it/raw/v1/docs/a.png) [b](https://host/us/it/blob/v1/docs/b.md#c) [d](https://d) [e](#f)"
    )


def test_what_is_no_version_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["release.py", "next"])
    with pytest.raises(SystemExit):
        release.main()
    assert "next is not a version" in capsys.readouterr().err
