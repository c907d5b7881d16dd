"""The two tokenizers that BERT models were made with: the character classes of each, and where else they part.

`hf` is the `tokenizers` library 0.23, which transformers 5 uses; `google` is FullTokenizer of google-research/bert,
whose classes are those of the interpreter: here Unicode 14.0, that of Python 3.11. Both are frozen (`unicode_tables`).
"""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module

from minibert.tokenizer.code_points import CodePoints, read_case_table


@dataclass(frozen=True)
class Flavor:
    """What one of the two does.

    `final_sigma` finds the capital sigmas at a word's end, behind its group; None where they are like all others.
    `lowers_first`: whether lower-casing comes before accents are stripped. `odd_token_to_first`: which of two texts
    keeps one token more when `longest_first` cuts both and the length is odd; False leaves it to their lengths.
    """

    dropped: CodePoints
    whitespace: CodePoints
    cjk: CodePoints
    decomposed: CodePoints
    ordered: CodePoints
    nonspacing_marks: CodePoints
    punctuation: CodePoints
    lower_case: dict[int, str]
    final_sigma: re.Pattern[str] | None
    lowers_first: bool
    longest_word: int
    special_tokens_in_text: bool
    odd_token_to_first: bool

    @cached_property
    def changed(self) -> CodePoints:
        """The code points that stand for something else than themselves, by the tables above but for `lower_case` and `cjk`."""
        return CodePoints.union(
            self.dropped, self.whitespace, self.decomposed, self.ordered, self.nonspacing_marks, self.punctuation
        )


FLAVORS = ("hf", "google")


@cache
def flavor_named(name: str) -> Flavor:
    """The flavor "hf" or "google"; its tables are read when it is first asked for."""
    tables = import_module(f"minibert.tokenizer.unicode_tables.{name}")
    google = name == "google"
    return Flavor(
        dropped=CodePoints(tables.DROPPED),
        whitespace=CodePoints(tables.WHITESPACE),
        cjk=CodePoints(tables.CJK),
        decomposed=CodePoints(tables.DECOMPOSED),
        ordered=CodePoints(tables.ORDERED),
        nonspacing_marks=CodePoints(tables.NONSPACING_MARKS),
        punctuation=CodePoints(tables.PUNCTUATION),
        lower_case=read_case_table(tables.LOWER_CASE) | tables.LOWER_CASE_SEQUENCES,
        final_sigma=_final_sigma(tables.CASED, tables.CASE_IGNORABLE) if google else None,
        lowers_first=google,
        longest_word=200 if google else 100,
        special_tokens_in_text=not google,
        odd_token_to_first=google,
    )


def _final_sigma(cased_table: str, ignorable_table: str) -> re.Pattern[str]:
    # Unicode's Final_Sigma: after a cased letter and before none, whatever case-ignorable characters stand between.
    cased, ignorable = (f"[{CodePoints(table).in_brackets()}]" for table in (cased_table, ignorable_table))
    return re.compile(f"({cased}{ignorable}*)Σ(?!{ignorable}*{cased})")
