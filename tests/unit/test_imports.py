"""Imports go one way: inference <- sr_templates <- dicom_node; and torch stays out of the processes that need none."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("inference", "sr_templates", "dicom_node")
MAY_IMPORT = {
    "inference": {"inference"},
    "sr_templates": {"inference", "sr_templates"},
    "dicom_node": {"inference", "sr_templates", "dicom_node"},
}
OUTSIDE_WORLD = {
    "sqlalchemy", "alembic", "apscheduler", "pynetdicom", "socket", "socketserver", "ssl", "requests", "httpx",
    "urllib", "http", "fastapi",
}  # fmt: skip
WITHOUT_TORCH = ("dicom_node.receive.server", "dicom_node.deliver.courier", "dicom_node.app", "dicom_node.cli")


@dataclass(frozen=True)
class Import:
    """One imported name; `lazy` when it stands inside a function and runs only when that is called."""

    target: str
    lazy: bool


@dataclass(frozen=True)
class Module:
    name: str
    is_package: bool
    imports: tuple[Import, ...]


def read_module(path: Path, root: Path) -> Module:
    parts = path.relative_to(root).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = name if is_package else name.rpartition(".")[0]
    return Module(name, is_package, tuple(imports_of(tree, package, lazy=False)))


def imports_of(node: ast.AST, package: str, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = absolute(child, package)
            yield Import(base, lazy)
            yield from (Import(f"{base}.{alias.name}", lazy) for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from imports_of(ast.Module(child.orelse, []), package, lazy)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_of(child, package, lazy or inside)


def absolute(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def read_packages(root: Path) -> dict[str, Module]:
    found = (read_module(path, root) for package in PACKAGES for path in sorted((root / package).rglob("*.py")))
    return {module.name: module for module in found}


def reached_from(start: str, modules: dict[str, Module], follow_lazy: bool) -> dict[str, str]:
    """Every name that importing `start` imports, with the chain there; importing a.b.c runs a and a.b too."""
    chains = {start: start}
    pending = [start]
    while pending:
        name = pending.pop()
        parents = [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
        imports = modules[name].imports if name in modules else ()
        targets = parents + [found.target for found in imports if follow_lazy or not found.lazy]
        for target in targets:
            if target not in chains:
                chains[target] = f"{chains[name]} -> {target}"
                pending.append(target)
    return chains


MODULES = read_packages(ROOT)


def wrong_arrows(modules: dict[str, Module]) -> list[str]:
    return [
        f"{module.name} imports {found.target}"
        for module in modules.values()
        for found in module.imports
        if (top := found.target.split(".")[0]) in PACKAGES and top not in MAY_IMPORT[module.name.split(".")[0]]
    ]


def test_imports_go_one_way() -> None:
    assert wrong_arrows(MODULES) == []


def test_every_package_was_walked() -> None:
    assert {name.split(".")[0] for name in MODULES} == set(PACKAGES)
    assert "inference.domain" in {found.target for found in MODULES["inference.measure"].imports}


@pytest.mark.parametrize("package", ["inference", "sr_templates"])
def test_network_and_database_stay_in_the_service(package: str) -> None:
    found = [
        f"{module.name} imports {found.target}"
        for module in MODULES.values()
        if module.name.split(".")[0] == package
        for found in module.imports
        if found.target.split(".")[0] in OUTSIDE_WORLD
    ]

    assert found == []


def test_nothing_at_run_time_imports_training() -> None:
    """Only the command line may, inside the verbs that train and evaluate."""
    found = [
        f"{module.name} imports {found.target}"
        for module in MODULES.values()
        if not module.name.startswith("inference.training")
        for found in module.imports
        if found.target.startswith("inference.training") and not (module.name == "dicom_node.cli" and found.lazy)
    ]

    assert found == []


@pytest.mark.parametrize("start", WITHOUT_TORCH)
def test_torch_is_not_reached(start: str) -> None:
    """receiver and courier never; composition root and command line only inside the functions that start a worker."""
    assert start in MODULES
    follow_lazy = start.split(".")[1] in {"receive", "deliver"}

    chains = reached_from(start, MODULES, follow_lazy)

    assert [chain for name, chain in chains.items() if name.split(".")[0] == "torch"] == []


def test_the_running_receiver_and_courier_have_no_torch() -> None:
    """The same for what other people's packages import behind our back."""
    roles = "dicom_node.receive.server, dicom_node.deliver.courier, dicom_node.cli"
    code = f"import sys, {roles}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_neither_the_command_line_nor_the_receiver_load_opencv() -> None:
    """It only costs memory there."""
    code = "import sys, dicom_node.cli, dicom_node.receive.server; sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_wrong_arrow_is_seen(tmp_path: Path) -> None:
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "inference" / "measure.py").write_text("def f():\n    from dicom_node import domain\n")
    (tmp_path / "sr_templates" / "pdf.py").write_text("from ..dicom_node.domain import Peer\nfrom . import codes\n")
    (tmp_path / "dicom_node" / "a.py").write_text("from dicom_node import b\n")
    (tmp_path / "dicom_node" / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\nelse:\n    import torch.nn\n"
    )

    modules = read_packages(tmp_path)

    assert {"inference.measure imports dicom_node", "sr_templates.pdf imports dicom_node.domain"} <= set(
        wrong_arrows(modules)
    )
    chains = reached_from("dicom_node.a", modules, follow_lazy=False)
    assert chains["torch.nn"] == "dicom_node.a -> dicom_node.b -> torch.nn"
    assert "numpy" not in chains
