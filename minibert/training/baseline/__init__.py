"""A baseline to beat: static word vectors under a bidirectional LSTM, through BERT's own data, heads, losses and loop.

    vectors = read_word_vectors("glove.6B.100d.txt", wanted=words_of(texts))
    tokenizer = word_tokenizer(vectors)
    config = LstmConfig(vocab_size=len(tokenizer.vocabulary), word_width=vectors.width, num_labels=2)
    model = lstm_with_head(config, table_for(tokenizer, vectors), rngs=nnx.Rngs(0))

or, with what BERT itself starts from, `vectors = input_embeddings(bert, tokenizer)` and the checkpoint's tokenizer. What BERT is
better by is what context buys.
"""

from minibert.training.baseline.lstm import LstmEncoder
from minibert.training.baseline.lstm_config import HEADS_OF_LSTM, LstmConfig
from minibert.training.baseline.lstm_with_heads import LstmWithHeads, lstm_with_head
from minibert.training.baseline.saving import Baseline, load_baseline, save_baseline
from minibert.training.baseline.word_vectors import WordVectors, input_embeddings, read_word_vectors
from minibert.training.baseline.words import out_of_vocabulary, table_for, word_tokenizer, words_of

__all__ = [
    "HEADS_OF_LSTM",
    "Baseline",
    "LstmConfig",
    "LstmEncoder",
    "LstmWithHeads",
    "WordVectors",
    "input_embeddings",
    "load_baseline",
    "lstm_with_head",
    "out_of_vocabulary",
    "read_word_vectors",
    "save_baseline",
    "table_for",
    "word_tokenizer",
    "words_of",
]
