"""The character classes of BERT's tokenizers, frozen, so that ids never change with the version of Python.

`hf` is what the `tokenizers` library does, `google` what google-research/bert does under Unicode 14.0. Both files are
written by tools/make_unicode_tables.py; `flavors` reads them.
"""
