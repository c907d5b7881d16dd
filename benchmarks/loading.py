"""Times opening and loading a checkpoint of BERT-base's size in every format against the format's own library.

    python benchmarks/loading.py [--rounds 7] [--new-processes]

The weights are random and are written by this script into a temporary folder of about 2.2 GB. A round reads every format
once with minibert (all tensors, copied into memory as `minibert.load` does it) and once with the library:
safetensors, torch.load (mapped, then cloned; from the zip and from the legacy stream), flax.serialization, and TensorFlow's
load_checkpoint where it is installed. It also makes a model of them, once by `minibert.load` and, where transformers reads
the format, once by its `from_pretrained`; as this maps the file and reads a weight when it is used, the weights are cloned
there too. What counts is the median of the rounds' ratios; the files are in the page cache.
With --new-processes each reading is the first of a process of its own, as it mostly is in use: memory that an allocator keeps
from the reading before is then of no help to anybody. Only the reading is timed there, not the imports.
The peak of memory is that of a process of its own, above what its imports take, in units of the weights.
"""

import argparse
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import packages_distributions, version
from pathlib import Path

import numpy as np
from paired import in_turn, paired_ratio, processor, seconds

import minibert
from minibert.checkpoints.blueprint import parameters_of
from minibert.checkpoints.formats.copying import copied
from minibert.checkpoints.formats.safetensors_writer import write_safetensors
from minibert.checkpoints.names import table_for
from minibert.checkpoints.tensors import open_checkpoint
from minibert.model import Bert

READ_BY_TRANSFORMERS = ("safetensors", "torch zip", "torch stream")

PEAK = """
import re, sys
from pathlib import Path
import jax, minibert

def most() -> int:
    # Not ru_maxrss, which a process inherits from the one that started it.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

before = most()
minibert.load(sys.argv[1])
print(most() - before)
"""


def write_all(folder: Path) -> dict[str, Path]:
    config = minibert.BertConfig()
    shapes = {path: variable.get_value().shape for path, variable in parameters_of(Bert(config, rngs=None)).items()}
    generator = np.random.default_rng(0)
    tensors = {}
    for row in table_for(config.num_hidden_layers, pooler=True):
        shape = shapes[row.ours][::-1] if row.transposed else shapes[row.ours]
        tensors[row.hf] = generator.standard_normal(shape, np.float32)
    names = ("safetensors", *(("torch zip", "torch stream") if importlib.util.find_spec("torch") else ()))
    folders = {name: folder / name for name in names}
    for each in folders.values():
        each.mkdir()
        (each / "config.json").write_text(json.dumps(config.to_hf()))
    write_safetensors(folders["safetensors"] / "model.safetensors", tensors, {"format": "pt"})
    if "torch zip" in folders:
        import torch

        state = {name: torch.from_numpy(values) for name, values in tensors.items()}
        torch.save(state, folders["torch zip"] / "pytorch_model.bin")
        torch.save(state, folders["torch stream"] / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    for name in ("tensorflow", "flax"):
        minibert.convert(folders["safetensors"], folder / name, to=name)
        folders[name] = folder / name
    return folders


def libraries(folders: dict[str, Path]) -> dict[str, Callable[[], object]]:
    import flax.serialization
    import safetensors.numpy

    found: dict[str, Callable[[], object]] = {
        "safetensors": lambda: safetensors.numpy.load_file(folders["safetensors"] / "model.safetensors"),
        "flax": lambda: flax.serialization.msgpack_restore((folders["flax"] / "flax_model.msgpack").read_bytes()),
    }
    if "torch zip" in folders:
        import torch

        def mapped(name: str, **options: bool) -> object:
            state = torch.load(folders[name] / "pytorch_model.bin", weights_only=True, **options)
            return {key: values.clone() for key, values in state.items()} if options else state

        found["torch zip"] = lambda: mapped("torch zip", mmap=True)
        found["torch stream"] = lambda: mapped("torch stream")
    if importlib.util.find_spec("tensorflow"):
        import tensorflow

        def bundle() -> object:
            reader = tensorflow.train.load_checkpoint(str(folders["tensorflow"]))
            return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}

        found["tensorflow"] = bundle
    return found


def transformers_model(folder: Path) -> Callable[[], object] | None:
    """How transformers makes a model of the folder, where it is installed and reads the format."""
    if folder.name in READ_BY_TRANSFORMERS and all(importlib.util.find_spec(name) for name in ("torch", "transformers")):
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()

        def made() -> object:
            model = transformers.BertModel.from_pretrained(folder)
            return [parameter.detach().clone() for parameter in model.parameters()]

        return made
    return None


def first_of_a_process(name: str, contender: str, parent: Path) -> float:
    """The seconds that one reading takes in a new process."""
    command = [sys.executable, __file__, "--read", name, contender, str(parent)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def in_processes(name: str, parent: Path, rounds: int) -> dict[str, list[float]]:
    contenders = ("minibert", "library")
    taken = [{each: first_of_a_process(name, each, parent) for each in random.sample(contenders, 2)} for _ in range(rounds)]
    return {each: [one[each] for one in taken] for each in contenders}


def read_once(name: str, contender: str, parent: Path) -> None:
    if contender == "minibert":
        print(seconds(lambda: copied(open_checkpoint(parent / name).tensors)))
    else:
        print(seconds(libraries({place.name: place for place in parent.iterdir()})[name]))


def peak(folder: Path) -> float:
    result = subprocess.run([sys.executable, "-c", PEAK, str(folder)], capture_output=True, text=True, check=True)
    return float(result.stdout)


def installed(library: str) -> str:
    distributions = packages_distributions().get(library)
    return f"{library} {version(distributions[0])}" if distributions else f"{library} not installed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default: %(default)s)")
    parser.add_argument("--new-processes", action="store_true", help="time the first reading of new processes too")
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read_once(arguments.read[0], arguments.read[1], Path(arguments.read[2]))
        return
    rounds = arguments.rounds
    print(f"{processor()}; {', '.join(installed(name) for name in ('jax', 'torch', 'safetensors', 'flax', 'tensorflow'))}")
    with tempfile.TemporaryDirectory() as temporary:
        folders = write_all(Path(temporary))
        theirs = libraries(folders)
        weights = open_checkpoint(folders["safetensors"]).number_of_bytes
        print(f"{weights / 1e6:,.0f} MB; ratios of our time to the library's: median (10th to 90th percentile)")
        for name, folder in folders.items():
            memory = f"peak of minibert.load {peak(folder) / weights:.2f} x the weights"
            if name not in theirs:
                print(f"{name:13} library not installed; {memory}")
                continue
            contenders = {"tensors": lambda folder=folder: copied(open_checkpoint(folder).tensors), "library": theirs[name]}
            if peer := transformers_model(folder):
                contenders |= {"model": lambda folder=folder: minibert.load(folder), "transformers": peer}
            taken = in_turn(contenders, rounds)
            ratios = f"tensors {paired_ratio(taken['tensors'], taken['library'])}"
            if peer:
                ratios += f", model {paired_ratio(taken['model'], taken['transformers'])} of transformers'"
            if arguments.new_processes:
                first = in_processes(name, folder.parent, rounds)
                ratios += f", in new processes {paired_ratio(first['minibert'], first['library'])}"
            print(f"{name:13} {ratios}; {memory}")


if __name__ == "__main__":
    main()
