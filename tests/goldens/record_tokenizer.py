"""Records tests/goldens/tokenizer_ids.json: the reference tokenizer's ids for texts that are easy to get wrong.

    python tests/goldens/record_tokenizer.py FOLDER

FOLDER holds the vocab.txt of the uncased 30,522 tokens. Needs the extra `reference`; the test that reads the file
does not.
"""

import json
import sys
from pathlib import Path

import tokenizers
import transformers
from transformers import BertTokenizer

TARGET = Path(__file__).parent / "tokenizer_ids.json"

TEXTS = [
    "The quick brown fox's jump, isn't it?",
    "Crème BRÛLÉE naïve Ångström İstanbul",
    "ΟΔΥΣΣΕΥΣ Σίσυφος straße ǅ ﬁ",
    "東京は日本の首都 \U0002b820\U0002b920\U0002f800 ㍿",
    "한국어 가각 वर्ण عَرَبِيّ עִבְרִית",
    "🙂 👩‍👩‍👧 🇩🇪 ❤️ 5️⃣",
    "a [MASK] b[MASK]c [mask] [[SEP]] [CLS]",
    "x" * 100 + " " + "x" * 101 + " " + "é" * 100 + " " + "e\u0301" * 100,
    "tab\tline\nreturn\rfeed\x0bform\x0cunit\x1fnext\x85zero\x00replacement\ufffdend",
    "nbsp\xa0ideographic\u3000zero\u200bwidth soft\xadhyphen bom\ufeff private\ue000 line\u2028separator",
    "$1,000.00 + 5% = x^2 `code` ~ < > | — – “quoted” …。、",
    "e\u0327\u0301\u0323 \u0344 \u0958 \u1e69 \u212b \u2126 \U0001d15e \U00011938 \u302e\u0334",
]
SETTINGS = [{"do_lower_case": True}, {"do_lower_case": False}, {"do_lower_case": True, "strip_accents": False}]


def main() -> None:
    """Records the ids of every text under every setting."""
    vocabulary = str(Path(sys.argv[1]) / "vocab.txt")
    rows = []
    for settings in SETTINGS:
        tokenizer = BertTokenizer(vocabulary, **settings)
        rows += [{"settings": settings, "text": text, "ids": tokenizer(text)["input_ids"]} for text in TEXTS]
    recorded = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__, "rows": rows}
    lines = json.dumps(recorded, ensure_ascii=True, indent=None).replace('{"settings"', '\n{"settings"')
    TARGET.write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
