r"""Text to ids and back: BERT's WordPiece tokenizer in plain Python and NumPy.

    special tokens found in the raw text -> normalisation -> words -> WordPiece -> [CLS], [SEP] -> truncation, padding

A file for each step: `text_tokens` (the definition of all but the last two), `normalization`, `word_splitting`,
`word_piece`, `truncation`, `rows`. What is fast gives exactly the same: `remembered_tokens` and `chunk_spelling` as the
definition, `plain_rows` as `rows`.

**What is equal.** The flavor "hf" gives, for every text that UTF-8 can hold, the ids, offsets and words of the library
`tokenizers` 0.23, which transformers 5 has inside. The flavor "google" gives the tokens of FullTokenizer in
google-research/bert under Unicode 14.0 (Python 3.11). Both under every version of Python, for their tables are frozen.

**Where the two flavors differ:**

    topic                              google                             hf
    special tokens in a text           split into "[", "mask", "]"        become their ids
    longest word, in characters        200                                100
    deleted                            Cc, Cf; not private characters     Cc, Cf, Co of Unicode 8.0
    ideographs U+2B820 to U+2B91F      spaced                             as they are
    capital sigma at a word's end      ς                                  σ
    marks, punctuation                 Mn, P of Unicode 14.0              of Unicode 8.0, NFD of 9.0
    odd length in longest_first        the first text keeps one more      the text that was longer, else the second

**What both do:** U+0000 and U+FFFD are deleted. Tab, line feed, carriage return, Zs, U+2028 and U+2029 are whitespace;
\v, \f, \x1c to \x1f and \x85 are deleted, so that they join words. A token's offsets reach from the first to the last
raw character that its characters come from, counted in code points; [UNK] covers its word. Words, punctuation characters
and special tokens in the text count as words. `special_tokens_mask` is 0 for special tokens that stand in the text.

**Where minibert differs from the references, on purpose:**

    topic                              the references                     minibert
    half of a surrogate pair           google [UNK]; hf TypeError         TokenizerError with its position
    bytes                              google decodes them; hf TypeError  TokenizerError
    a token twice in the vocabulary    the last one counts                TokenizerError with both lines
    a byte order mark in vocab.txt     part of the first token            TokenizerError
    never_split                        ignored since transformers 5       kept whole, where it stands by itself
    truncation in tokenizer.json       applied to every call              left to the call, as padding is
    a stride that is too large         a panic, once a text is cut        TokenizerError
    the same with no special tokens    two are counted all the same       none are counted
    a window of no tokens at all       a second row has the whole text    TokenizerError
    a second text that is empty        transformers drops it              [CLS] a [SEP] [SEP], as `tokenizers` does
    a row over padding="max_length"    stays longer                       TokenizerError
    max_length below [CLS] and [SEP]   the text is left whole             TokenizerError
    max_length by itself               transformers truncates             TokenizerError
    options without an effect (1)      passed over                        TokenizerError
    truncation, no maximum known       transformers leaves texts whole    TokenizerError
    is_split_into_words, no words []   transformers takes it for a text   TokenizerError; [[]] is one
    pairs in a batch                   transformers takes lists too       tuples of two, all of them
    decode without clean-up (False)    transformers cleans up as by None  every space is kept
    decode of ids outside, or of rows  transformers skips, or lists       TokenizerError; batch_decode
    a new cls, sep or unk_token        transformers uses the old one      used from then on
    longest_word in saved files        transformers ignores it, has 100   kept
    tokenizer.json without [CLS] (2)   `tokenizers` adds or finds none    as BertTokenizer: added, found
    whitespace before a token (3)      google strips it                   part of the token, as hf has it
    padding                            none, lists                        to the longest, arrays

(1) A stride without windows (truncation and return_overflowing_tokens), pad_to_multiple_of without padding. (2) That is,
where its post_processor is null or its added_tokens are empty. (3) At the beginning of a line of vocab.txt.
"""

from minibert.tokenizer.settings import TokenizerSettings
from minibert.tokenizer.tokenizer import Tokenizer
from minibert.tokenizer.vocabulary import Vocabulary

__all__ = ["Tokenizer", "TokenizerSettings", "Vocabulary"]
