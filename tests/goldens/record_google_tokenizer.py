"""Records tests/goldens/tokenizer_google.json: what Google's FullTokenizer makes of texts that are easy to get wrong.

    python tests/goldens/record_google_tokenizer.py TOKENIZATION_PY

TOKENIZATION_PY is tokenization.py of google-research/bert; the package bert-tensorflow 1.0.4 has it as
bert/tokenization.py. What it imports besides is not needed and need not be installed. Run it under Python 3.11, whose
Unicode 14.0 the google flavor is frozen to.
"""

import hashlib
import importlib.util
import io
import sys
import unicodedata
from pathlib import Path
from types import ModuleType, SimpleNamespace

sys.path.insert(0, str(Path(__file__).parent.parent / "tokenizer"))
from hostile_texts import HAND_PICKED, hostile_vocabulary, random_texts
from stored_answers import all_digests, write

UNICODE_VERSION = "14.0.0"


def main() -> None:
    """Records the tokens of texts, cased and uncased, and digests of many more."""
    if unicodedata.unidata_version != UNICODE_VERSION:
        raise SystemExit(
            f"this interpreter has Unicode {unicodedata.unidata_version}; run it under Python 3.11, which has 14.0.0"
        )
    path = Path(sys.argv[1])
    original = load(path)
    rows: list[dict[str, object]] = []
    digests: list[tuple[str, str]] = []
    for do_lower_case in (True, False):
        tokenizer = original.FullTokenizer("vocab.txt", do_lower_case=do_lower_case)

        def answers(texts, tokenizer=tokenizer):
            return [tokenizer.tokenize(text) for text in texts]

        texts = HAND_PICKED + random_texts(40, seed=11)
        rows += [{"do_lower_case": do_lower_case, "text": text, "tokens": tokenizer.tokenize(text)} for text in texts]
        digests.append(all_digests(answers))
    write(
        "tokenizer_google.json",
        rows,
        unicode=UNICODE_VERSION,
        tokenization_py_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        random_digests=[of_random_texts for of_random_texts, _ in digests],
        code_point_digests=[of_code_points for _, of_code_points in digests],
    )


def load(path: Path) -> ModuleType:
    """The original module, with stand-ins for what it imports and what reads its vocabulary."""
    gfile = SimpleNamespace(GFile=lambda *arguments: io.StringIO("\n".join(hostile_vocabulary()) + "\n"))
    tensorflow = SimpleNamespace(gfile=gfile, io=SimpleNamespace(gfile=gfile))
    # The packaged file has one flag more than the original, which is off.
    flags = SimpleNamespace(FLAGS=SimpleNamespace(preserve_unused_tokens=False), DEFINE_bool=lambda *arguments: None)
    stand_ins = {
        "tensorflow": SimpleNamespace(**vars(tensorflow), compat=SimpleNamespace(v1=tensorflow)),
        "tensorflow.compat": SimpleNamespace(v1=tensorflow),
        "tensorflow.compat.v1": tensorflow,
        "absl": SimpleNamespace(flags=flags),
        "six": SimpleNamespace(PY3=True, PY2=False),
    }
    sys.modules.update(stand_ins)  # type: ignore[arg-type]
    specification = importlib.util.spec_from_file_location("tokenization", path)
    if specification is None or specification.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
