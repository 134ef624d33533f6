"""A model file exported on x86-64 is used on arm64, as a small device would use it.

What is at stake: wheels for arm64 exist for everything that a device installs; the runtime needs
nothing else; and the same file gives the same answers on the other processor's arithmetic.

The device is a Debian root file system under qemu-user. It takes minutes to make, so it is kept
as `arm64-bookworm` in $EDGEAUDIO_HOME (default: .edgeaudio in the checkout); delete that folder
to start afresh, for instance to get newer wheels. Inside it nothing is mounted: with both /proc
and /sys present under qemu-user, importing onnxruntime crashes. Times measured there mean nothing.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeaudio.model import load_model
from edgeaudio_export.assemble import assemble
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.quantised import quantised_extractor
from tests.export.small import small_extractor

pytestmark = pytest.mark.device

REPO = Path(__file__).parents[2]
HOME = Path(os.environ.get("EDGEAUDIO_HOME") or REPO / ".edgeaudio").absolute()
BINFMT = Path("/proc/sys/fs/binfmt_misc")
EMULATOR = BINFMT / "qemu-aarch64"

SUITE = "bookworm"
SYSTEM = "python3,libportaudio2,libasound2-plugins,libgomp1"
PYTHON = "311"  # of the suite
GLIBC = range(36, 16, -1)  # minor versions: wheels built for the suite's glibc or an older one
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC] + ["manylinux2014_aarch64"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = {  # and the package that each is in
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "qemu-aarch64-static": "qemu-user-static",
    "update-binfmts": "binfmt-support",
}
MAIN = "from edgeaudio.cli import main; main()"
LIKELIHOOD = 1e-4  # largest difference between the two processors


@dataclass(frozen=True)
class Device:
    """A root file system for arm64, and in it a folder of our own, gone after the tests."""

    root: Path
    folder: Path

    def put(self, path: Path) -> str:
        """Copy a file to the device; returns its path there."""
        copy = self.folder / path.name
        shutil.copyfile(path, copy)
        return f"/{copy.relative_to(self.root)}"

    def python(self, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": PATH,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": f"/{self.folder.relative_to(self.root)}:/opt/lib",
            "QEMU_CPU": "cortex-a72",
        }
        command = ["chroot", str(self.root), "python3", "-c", code, *arguments]
        return _run(command, 600, environment)


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    _need_tools()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{os.environ.get('PATH', '')}:{PATH}")
        mounted, enabled = _start_emulation()
        try:
            yield from _device()
        finally:
            _stop_emulation(mounted=mounted, enabled=enabled)


def test_golden_vectors_hold(device: Device, engine_model: Path) -> None:
    done = device.python(MAIN, "verify", device.put(engine_model))

    assert done.returncode == 0, done.stdout + done.stderr
    assert _golden(done.stdout) == {
        vector.name: "holds" for vector in load_model(engine_model).contract.golden
    }
    assert done.stdout.endswith("can be used here.\n")
    print(done.stdout)


def test_recordings_get_the_same_labels(
    device: Device, engine_model: Path, engine_folder: Path
) -> None:
    recordings = _one_each_of_two_classes(engine_folder)
    options = ["classify", "--json", "--model"]
    here = _run([sys.executable, "-c", MAIN, *options, str(engine_model), *map(str, recordings)])
    copies = [device.put(path) for path in (engine_model, *recordings)]
    there = device.python(MAIN, *options, *copies)

    assert here.returncode == 0, here.stderr
    assert there.returncode == 0, there.stdout + there.stderr
    for wanted, found in zip(_records(here.stdout), _records(there.stdout), strict=True):
        assert found["label"] == wanted["label"]
        assert found["windows"] == wanted["windows"]
        assert found["quality"] == wanted["quality"]
        assert found["likelihoods"] == pytest.approx(wanted["likelihoods"], rel=0, abs=LIKELIHOOD)


EMBEDDINGS = """
import sys
import numpy
from edgeaudio import load_model
model = load_model(sys.argv[1])
rng = numpy.random.default_rng(8)
windows = [level * rng.standard_normal((3, model.window)) for level in (1e-4, 0.01, 0.3)]
print(model.embed(numpy.concatenate(windows).astype(numpy.float32)).tobytes().hex())
"""


def test_a_network_in_int8_gives_the_same_bits(device: Device, engine_folder: Path) -> None:
    extractor, dataset = small_extractor(), load_dataset(engine_folder)
    light = quantised_extractor(extractor, dataset, "arm64", lambda text: None)
    path = engine_folder.parent / "int8.onnx"
    path.write_bytes(assemble(light.extractor, None))
    here = _run([sys.executable, "-c", EMBEDDINGS, str(path)])
    there = device.python(EMBEDDINGS, device.put(path))

    assert len(here.stdout) == 9 * 32 * 4 * 2 + 1, here.stderr
    assert there.stdout == here.stdout, there.stderr


def _golden(output: str) -> dict[str, str]:
    """Golden vectors and verdicts, from the table that `edgeaudio verify` prints."""
    lines = iter(output.splitlines())
    while not next(lines).strip().startswith("golden vectors "):
        pass
    rows = {}
    while line := next(lines).strip():
        name, _, _, verdict = line.rsplit(maxsplit=3)
        rows[name] = verdict
    return rows


def _one_each_of_two_classes(folder: Path) -> list[Path]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    return [min(path.glob("*.wav")) for path in classes[:2]]


def _records(output: str) -> list[dict[str, object]]:
    records = [json.loads(line) for line in output.splitlines()]
    assert len(records) == 2
    return records


def _need_tools() -> None:
    if platform.machine() != "x86_64":
        pytest.skip(f"This compares x86-64 with arm64, and this machine is {platform.machine()}.")
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=f"{os.defpath}:{PATH}")]
    if missing:
        packages = " ".join(TOOLS[tool] for tool in missing)
        pytest.skip(f"{', '.join(missing)} missing; on Debian: apt-get install {packages}")
    if os.geteuid() != 0:
        pytest.skip("Only root can make a root file system and change into it; run this as root.")


def _start_emulation() -> tuple[bool, bool]:
    """Let the kernel run arm64 programs; returns what had to be done: mount, enable."""
    mounted = not (BINFMT / "register").exists()
    if mounted:
        done = _run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)])
        if done.returncode:
            pytest.skip(f"binfmt_misc can't be mounted here: {done.stderr.strip()}")
    enabled = not EMULATOR.exists()
    if enabled:
        done = _run(["update-binfmts", "--enable", "qemu-aarch64"])
        if not EMULATOR.exists():
            _stop_emulation(mounted=mounted, enabled=False)
            pytest.skip(f"qemu-aarch64 can't be enabled in binfmt_misc here: {done.stderr.strip()}")
    return mounted, enabled


def _stop_emulation(*, mounted: bool, enabled: bool) -> None:
    if enabled:
        _run(["update-binfmts", "--disable", "qemu-aarch64"])
    if mounted:
        _run(["umount", str(BINFMT)])


def _device() -> Iterator[Device]:
    root = HOME / f"arm64-{SUITE}"
    if not root.is_dir():
        _make_root(root)
    _install(root / "opt" / "lib", _dependencies())
    with tempfile.TemporaryDirectory(dir=root / "opt", prefix="test-") as folder:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPO / "edgeaudio", Path(folder) / "edgeaudio", ignore=ignored)
        device = Device(root, Path(folder))
        done = device.python("import platform; print(platform.machine())")
        assert done.stdout == "aarch64\n", done.stdout + done.stderr
        yield device


def _make_root(root: Path) -> None:
    """Make the root file system, as a whole or not at all."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}.") as folder:
        part = Path(folder) / "root"
        part.parent.chmod(0o755)  # apt downloads as a user of its own
        options = ["--arch=arm64", "--variant=minbase", "--dpkgopt=force-unsafe-io"]
        command = ["mmdebstrap", "--quiet", *options, f"--include={SYSTEM}", SUITE, str(part)]
        done = _run(command, 3600)
        assert done.returncode == 0, done.stderr[-2000:]
        part.rename(root)


def _dependencies() -> list[str]:
    """What a device installs."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["dependencies"]


def _install(lib: Path, dependencies: list[str]) -> None:
    """Unpack wheels for the device, unless those for just these dependencies are there."""
    stamp, wanted = "dependencies.txt", "\n".join(dependencies)
    if (lib / stamp).is_file() and (lib / stamp).read_text(encoding="utf-8") == wanted:
        return
    with tempfile.TemporaryDirectory(dir=lib.parent, prefix="lib-") as folder:
        part = Path(folder) / "lib"
        options = ["--python-version", PYTHON, "--implementation", "cp", "--only-binary=:all:"]
        for name in PLATFORMS:
            options += ["--platform", name]
        for name in (f"cp{PYTHON}", "abi3", "none"):
            options += ["--abi", name]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(part)]
        done = _run([*pip, *options, *dependencies], 1800)
        assert done.returncode == 0, done.stderr[-2000:]
        (part / stamp).write_text(wanted, encoding="utf-8")
        shutil.rmtree(lib, ignore_errors=True)
        part.rename(lib)


def _run(
    command: list[str], timeout: float = 600, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=timeout, env=env, check=False
    )
