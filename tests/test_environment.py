"""What is promised to those who install or open the course: locked versions, Binder, `make lab`."""

import ast
import importlib.metadata
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML, YAMLError

from tests.lab import answer, serve, tool
from tools import lock

ROOT = Path(__file__).resolve().parents[1]
OURS = {"helpers", "tools", "tests"}
DISTRIBUTIONS = importlib.metadata.packages_distributions()
SYSTEMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")]
MACHINES = [
    {
        "sys_platform": system,
        "platform_machine": machine,
        "os_name": "nt" if system == "win32" else "posix",
        "python_version": python,
        "python_full_version": f"{python}.9",
    }
    for (system, machine), python in itertools.product(SYSTEMS, ["3.11", "3.12", "3.13"])
]


def run(*command, **options):
    """Run a command in the repository and return what it prints, with its status at the end."""
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options
    done = subprocess.run(command, text=True, encoding="utf-8", **options)
    return f"{done.stdout}\nstatus {done.returncode}"


def test_a_missing_tool_is_a_failure():
    with pytest.raises(AssertionError, match="is missing"):
        tool("no-such-tool")


# Locked versions


@pytest.fixture
def copy(tmp_path):
    """The lists and the lock files, to be spoilt."""
    (tmp_path / "tests").mkdir()
    for name in itertools.chain(*lock.LISTS.items()):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def edit(path, old, new):
    """Replace the first match of a pattern, which must be there."""
    text, count = re.subn(old, new, path.read_text("utf-8"), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text, "utf-8")


def locked(path):
    """Return [(requirement, its hashes)] of a lock file."""
    lines = path.read_text("utf-8").replace("\\\n", "").splitlines()
    entries = [line.split("--hash=") for line in lines if not line.startswith("#")]
    return [(Requirement(name), hashes) for name, *hashes in entries]


def chosen(requirements, machine):
    """Return the names and versions that a machine installs."""
    here = [pin for pin in requirements if pin.marker is None or pin.marker.evaluate(machine)]
    return {(canonicalize_name(pin.name), str(pin.specifier)) for pin in here}


def disagreements(root):
    """Return a line for each way in which the lock files do not follow from the lists."""
    result, everything = [], []
    for target, source in lock.LISTS.items():
        if not (root / target).read_text("utf-8").startswith(lock.header(root, target)):
            result.append(f"{target} was not made from {source} as it is now")
        entries = locked(root / target)
        pins = [Requirement(pin) for pin in lock.pins(root / source)]
        names = {canonicalize_name(pin.name) for pin in pins}
        everything += [pin for pin, _ in entries]
        for pin, hashes in entries:
            if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", h) for h in hashes):
                result.append(f"{target}: {pin} without SHA-256")
        for machine in MACHINES:
            found = {pin for pin in chosen([pin for pin, _ in entries], machine) if pin[0] in names}
            if found != (wanted := chosen(pins, machine)):
                result.append(f"{target} and {source} differ: {found ^ wanted} on {machine}")
    for machine in MACHINES:
        names = [name for name, _ in chosen(everything, machine)]
        result += [f"{name} has two versions" for name in set(names) if names.count(name) > 1]
    return result


def test_the_lock_files_follow_from_the_lists():
    assert not disagreements(ROOT), "Run: make lock"


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("environment.yml", r"numpy==.*", "numpy==1.0"),
        ("environment.yml", r"^ +- nbval.*\n", ""),
        ("environment.yml", r"sys_platform == 'linux' and ", ""),
        ("requirements.txt", r"^numpy==\S+", "numpy==1.0"),
        ("requirements.txt", r"^keras==.*\n(    .*\n)+", ""),
        ("requirements.txt", r"^(tqdm==\S+) \\\n(    .*\n)+", r"\1\n"),
        ("requirements.txt", r"sha256:....", "md5:"),
        ("requirements.txt", r"sys_platform == 'linux'", "sys_platform == 'darwin'"),
        ("requirements.txt", r"^requests==\S+", "requests==1.0"),
        ("tests/requirements.in", r"ruff==\S+", "ruff==0.1"),
        ("tests/requirements.txt", r"^ruff==\S+", "ruff==0.1"),
        ("tests/requirements.txt", r"SHA-256 ....", "SHA-256 0000"),
    ],
)
def test_a_disagreement_is_caught(copy, file, old, new):
    assert not disagreements(copy)
    edit(copy / file, old, new)
    assert disagreements(copy)


@pytest.mark.parametrize("pin", ["numpy", "numpy>=2", "numpy==2.*", "-e .", "./numpy"])
@pytest.mark.parametrize("file", lock.LISTS.values())
def test_a_line_that_is_no_pin_is_refused(copy, file, pin):
    edit(copy / file, r"[\w.]+==.*", pin)
    with pytest.raises(ValueError, match="not NAME==VERSION"):
        lock.pins(copy / file)


def test_every_machine_gets_one_tensorflow():
    pins = [pin for pin, _ in locked(ROOT / "requirements.txt")]
    for machine in MACHINES:
        found = [name for name, _ in chosen(pins, machine) if name.startswith("tensorflow")]
        plain = (machine["sys_platform"], machine["platform_machine"]) != ("linux", "x86_64")
        assert found == ["tensorflow" if plain else "tensorflow-cpu"]


# Declared imports


def imported(path):
    """Return the modules that a file of Python or a notebook imports, without their submodules."""
    source = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(source, as_version=4).cells
        source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def undeclared(paths, lists):
    """Return a line for each import that no list of packages accounts for."""
    pins = [Requirement(pin) for name in lists for pin in lock.pins(ROOT / name)]
    declared = {canonicalize_name(pin.name) for pin in pins}
    return [
        f"{path.name}: {module} is not in {' or '.join(lists)}"
        for path in paths
        for module in sorted(imported(path) - OURS - sys.stdlib_module_names)
        if declared.isdisjoint(map(canonicalize_name, DISTRIBUTIONS.get(module, [])))
    ]


def test_every_import_is_declared():
    course = [*ROOT.glob("helpers/**/*.py"), *ROOT.glob("notebooks/*.ipynb")]
    tests = [ROOT / "conftest.py", *ROOT.glob("tests/**/*.py"), *ROOT.glob("tools/**/*.py")]
    assert len(course) > 10 and len(tests) > 10
    assert not undeclared(course, ["environment.yml"])
    assert not undeclared(tests, list(lock.LISTS.values()))


@pytest.mark.parametrize("module", ["no_such_module", "ruamel.yaml", "docker", "parso.tree"])
@pytest.mark.parametrize("line", ["import os, {}", "def late():\n    from {} import name"])
def test_an_undeclared_import_is_caught(tmp_path, line, module):
    code = line.format(module)
    (tmp_path / "module.py").write_text(f"import numpy\nfrom helpers import text\n{code}\n")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(book, tmp_path / "notebook.ipynb")
    for path in tmp_path.iterdir():
        (found,) = undeclared([path], ["environment.yml"])
        assert found == f"{path.name}: {module.partition('.')[0]} is not in environment.yml"


# Tidy files


def untidy(folder):
    """Return what ruff complains about."""
    settings = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    checks = [["check", "--output-format=concise"], ["format", "--check"]]
    runs = [run(tool("ruff"), *check, *settings, ".", cwd=folder) for check in checks]
    return [printed for printed in runs if not printed.endswith("status 0")]


def test_the_source_is_tidy():
    assert not untidy(ROOT)


@pytest.mark.parametrize("source", ["import os\n", "x = {'a':1}\n", "def f(:\n"])
def test_an_untidy_source_is_caught(tmp_path, source):
    (tmp_path / "module.py").write_text(source)
    assert untidy(tmp_path)


def unreadable(root):
    """Return the YAML files that cannot be parsed; a key that occurs twice counts."""
    paths = [*root.glob("*.y*ml"), *root.glob(".github/**/*.y*ml"), *root.glob("*.cff")]
    result = []
    for path in paths:
        try:
            YAML(typ="safe").load(path)
        except YAMLError as error:
            result.append(f"{path}: {error}")
    return result


def test_yaml_files_parse():
    assert not unreadable(ROOT)


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2", "a: b: c", "\ta: 1"])
def test_a_yaml_file_that_does_not_parse_is_caught(tmp_path, text):
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / ".github" / "workflows" / "tests.yml").write_text(text)
    assert len(unreadable(tmp_path)) == 1


# Binder and JupyterLab


@pytest.mark.skipif(sys.platform == "win32", reason="repo2docker does not run on Windows")
def test_binder_builds_from_the_locked_versions():
    recipe = run(tool("jupyter-repo2docker"), "--no-build", "--debug", ".")
    assert recipe.endswith("status 0"), recipe
    assert "Building conda environment for python=3.11" in recipe
    # environment.yml names requirements.txt, so all files must be there when it is installed.
    assert "COPY --chown=0:0 src/environment.yml" not in recipe
    assert re.search(
        r'COPY .*src/ \$\{REPO_DIR\}/.*env update .*"environment\.yml".*RUN \./postBuild',
        recipe,
        re.DOTALL,
    )
    assert os.access(ROOT / "postBuild", os.X_OK)
    hiding = [name for name in ("binder", ".binder") if (ROOT / name).exists()]
    assert not hiding, "environment.yml would not be read"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Do to settings of our own what Makefile and postBuild do to the installed ones."""
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    files = [(ROOT / name).read_text("utf-8") for name in ("Makefile", "postBuild")]
    here, binder = [re.search(r"jupyter (labextension .*)", text)[1] for text in files]
    assert here == binder
    printed = run(tool("jupyter"), *shlex.split(here), "--level=user")
    assert printed.endswith("status 0"), printed


def idle_kernels(config_path, *options):
    """Return how JupyterLab treats idle kernels, by the configuration that it finds."""
    printed = subprocess.run(
        [tool("jupyter"), "lab", "--show-config-json", *options],
        env={**os.environ, "JUPYTER_CONFIG_PATH": str(config_path)},
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return json.loads(printed[printed.index("{\n") :]).get("MappingKernelManager", {})


def test_kernels_that_nobody_needs_are_shut_down_everywhere(tmp_path):
    name = "jupyter_server_config.py"
    recipe = run(tool("make", None), "--dry-run", "lab")
    assert f"jupyter lab --config {name} " in recipe
    post_build = (ROOT / "postBuild").read_text("utf-8")
    assert f'\ncp {name} "$NB_PYTHON_PREFIX/etc/jupyter/"\n' in post_build
    shutil.copy(ROOT / name, tmp_path)
    here, binder = idle_kernels(os.devnull, "--config", name), idle_kernels(tmp_path)
    assert here == binder
    assert here["cull_idle_timeout"] == 1800
    assert not (here["cull_connected"] or here["cull_busy"])
    assert idle_kernels(os.devnull) == {}
    known = run(tool("jupyter"), "server", "--help-all")  # what is not known is passed over
    assert all(f"--MappingKernelManager.{option}=" in known for option in here)


@pytest.mark.slow
def test_make_lab_serves_the_course(settings):
    with serve(ROOT) as address:
        assert answer(f"{address}/api/contents/notebooks?content=0")
        page = answer(f"{address}/lab")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{address}/api/contents", timeout=10)
    assert_no_question_about_news(page)


def assert_no_question_about_news(page):
    """Assert that the page switches off a plugin that this JupyterLab has."""
    config = json.loads(re.search(r"jupyter-config-data[^>]*>(.*?)</script>", page, re.DOTALL)[1])
    (plugin,) = config["disabledExtensions"]
    scripts = (Path(sys.prefix) / "share/jupyter/lab/static").glob("*.js")
    assert any(f'"{plugin}"' in script.read_text("utf-8") for script in scripts)
