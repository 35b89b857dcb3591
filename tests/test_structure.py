"""The shape of the house, read from the source: who may import whom, and what importing costs."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import strongreid

SOURCE = Path(strongreid.__file__).parent
ORDER = [
    *("errors", "files", "kept_memory", "processes", "distributed", "data", "synthetic", "model", "losses"),
    *("frames", "features", "evaluation", "export", "extraction"),
    *("gallery", "training", "experiments", "web", "cli"),
]
"""Imports go only leftwards."""
KNOW_CONFIG = {"__init__", "cli", "training.loop", "training.setup", "training.profile", "experiments"}
HEAVY = {"torch", "torchvision", "timm", "matplotlib"}
LIGHT = [
    *("errors", "files", "kept_memory", "config", "features", "synthetic", "evaluation", "gallery", "web"),
    *("processes", "model.spec", "export", "extraction", "data.ahead"),
    *("data.records", "data.readers", "data.images", "data.inspect", "data.sampler"),
    *("frames.boxes", "frames.film", "frames.follow", "frames.crops", "frames.detections"),
]
"""Rooms of the base install: none of HEAVY, however deep in a function."""
WHERE_INSTALLED = {
    *("evaluation.on_device", "evaluation.style"),
    *("export.export", "export.graph", "extraction.torch_network"),
}
"""Parts of these that need an extra: imported inside functions only, or importing it inside their own."""
MODULES = {".".join(file.relative_to(SOURCE).with_suffix("").parts): file for file in sorted(SOURCE.rglob("*.py"))}


@cache
def imports_of(module):
    """Dotted names that a module imports anywhere but under TYPE_CHECKING; relative ones made absolute."""
    found = []

    class Visitor(ast.NodeVisitor):
        def visit_If(self, node):
            if "TYPE_CHECKING" in ast.dump(node.test):
                node.body = []
            self.generic_visit(node)

        def visit_Import(self, node):
            found.extend(alias.name for alias in node.names)

        def visit_ImportFrom(self, node):
            base = node.module or ""
            if node.level:
                here = ("strongreid." + module).split(".")[: -node.level]
                base = ".".join([*here, base] if base else here)
            # `from package import name`: the name may be a module
            found.extend(f"{base}.{alias.name}" for alias in node.names)

    Visitor().visit(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    return found


def ours(module):
    """Our own modules that a module imports, without the leading `strongreid.`; the package itself is `__init__`."""
    found = set()
    for full in imports_of(module):
        name = full.removeprefix("strongreid.") if full != "strongreid" else "__init__"
        if name != full:
            while name and name not in MODULES and f"{name}.__init__" not in MODULES:
                name = name.rpartition(".")[0]
            found.add(name if name in MODULES else f"{name}.__init__".lstrip("."))
    return found


def room_of(module):
    return module.split(".")[0]


def test_the_scanner_sees_imports_wherever_they_are():
    assert {"data.images", "evaluation.__init__", "model.spec"} <= ours("extraction.extractor") | ours(
        "extraction.judging"
    )
    assert "training.loop" in ours("cli.training"), "inside functions"
    assert "torch" in {name.split(".")[0] for name in imports_of("losses")}
    assert ours("training.loop") >= {"config", "__init__"}
    assert not ours("__init__"), "the public names are imported lazily"


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"__init__"}))
def test_imports_go_only_leftwards(module):
    rooms = {room_of(other) for other in ours(module)} - {"config", "__init__", room_of(module)}
    if module == "config":
        assert rooms <= {"errors"}, "the configuration is plain values"
        return
    assert room_of(module) in ORDER, f"a new room {room_of(module)!r}: give it its place in ORDER"
    wrong = {room for room in rooms if ORDER.index(room) > ORDER.index(room_of(module))}
    assert not wrong, f"{module} imports {', '.join(wrong)} from its right"


def test_only_the_loop_and_the_command_line_know_the_configuration():
    knowing = {module for module in MODULES if "config" in ours(module)}
    assert {module for module in knowing if module not in KNOW_CONFIG and room_of(module) not in KNOW_CONFIG} == set()
    assert {"cli.training", "training.loop"} <= knowing


@pytest.mark.parametrize("module", [m for m in MODULES if "__init__" in ours(m)])
def test_the_package_itself_is_imported_for_its_version_only(module):
    used = {name.removeprefix("strongreid.") for name in imports_of(module) if name.count(".") == 1}
    used = {name for name in used if name.isidentifier() and name in strongreid.__all__}
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "strongreid":
            used.add(node.attr)
    assert used == {"__version__"}, "its other names lead everywhere: import them from their homes"


def light_modules():
    in_room = [m for m in MODULES if any(m == room or m.startswith(f"{room}.") for room in LIGHT)]
    return [m for m in in_room if m not in WHERE_INSTALLED]


def test_the_base_install_reads_no_torch_however_lazily():
    """Nor any of our own modules that does."""
    for start in light_modules():
        todo, seen = [start], set(WHERE_INSTALLED)
        while todo:
            module = todo.pop()
            heavy = {name.split(".")[0] for name in imports_of(module)} & HEAVY
            assert not heavy, f"{start} reaches {module}, which imports {', '.join(heavy)}"
            seen.add(module)
            todo.extend(ours(module) - seen)


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_base_install_works_where_torch_cannot_be_imported():
    code = "import sys, importlib\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in sorted(HEAVY))
    names = [f"strongreid.{module.removesuffix('.__init__')}" for module in light_modules()]
    run_python(code + f"for name in {names!r}: importlib.import_module(name)")


def test_importing_the_package_imports_next_to_nothing():
    code = "import sys; before = set(sys.modules); import strongreid; print(*sorted(set(sys.modules) - before))"
    loaded = run_python(code).split()
    assert [name for name in loaded if name.startswith("strongreid")] == ["strongreid"]
    assert not {name.split(".")[0] for name in loaded} & (HEAVY | {"numpy", "PIL", "pyarrow", "jsonargparse"})


@pytest.mark.parametrize("flag", ["--help", "--version", "train --help", "evaluate --help"])
def test_help_and_version_import_no_torch(flag):
    code = (
        "import sys\nfrom strongreid.cli import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as end:\n    code = end.code\n"
        "print('loaded', *sorted(sys.modules)); sys.exit(code)"
    )
    text, _, loaded = run_python(code, *flag.split()).rpartition("loaded")
    assert text.strip()
    assert not {name.split(".")[0] for name in loaded.split()} & HEAVY


def test_every_public_name_resolves():
    assert sorted(set(strongreid.__all__)) == sorted(strongreid.__all__)
    assert dir(strongreid) == sorted(strongreid.__all__)
    for name in strongreid.__all__:
        assert getattr(strongreid, name).__name__ == name if name != "PRESETS" else strongreid.PRESETS
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        strongreid.colour  # noqa: B018


def test_a_public_name_that_needs_torch_says_what_to_install():
    code = (
        "import sys\nsys.modules['torch'] = None\nimport strongreid\n"
        "try:\n    strongreid.load_model\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    assert run_python(code) == "strongreid.load_model needs torch: pip install 'strongreid[train]'\n"


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_small(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) < 400
