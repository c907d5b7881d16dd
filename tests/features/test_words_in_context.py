"""The same word in other senses has other vectors: 20 sentences of banks, 8 each of moles, apples and jaguars.

They were written for this and give the word a clear context. Where it is thin MiniLM errs: the mole of "Our dog chased a mole
back into its burrow." is nearest to one on the skin.
"""

import numpy as np
import pytest

from minibert import Features

SENSES = {
    "bank": (
        [
            "She deposited her salary at the bank.",
            "The bank raised its interest rates again.",
            "He asked the bank for a loan to buy a house.",
            "The bank closed my savings account.",
            "A clerk at the bank counted the coins and the notes.",
            "The bank refused to extend his overdraft.",
            "Two robbers stole the cash from the bank.",
            "My bank charges a fee for every transfer.",
            "The central bank lent money to the government.",
            "You can withdraw cash at the bank with your card.",
        ],
        [
            "They had a picnic on the bank of the river.",
            "The river overflowed its bank after the storm.",
            "We tied the boat to the muddy bank of the stream.",
            "Otters slid down the grassy bank into the water.",
            "Willows grow along the bank of the canal.",
            "The fisherman sat on the bank with his rod.",
            "The flood washed away a part of the river bank.",
            "Children skipped stones from the bank of the lake.",
            "A heron stood on the far bank of the stream.",
            "We swam across the river to the other bank.",
        ],
    ),
    "mole": (
        [
            "A mole dug tunnels under the lawn and ate the worms.",
            "The velvety mole pushed up heaps of earth in the meadow.",
            "The mole digs its burrow deep under the garden.",
            "The blind mole dug through the soil with its claws.",
        ],
        [
            "The doctor examined the dark mole on her skin.",
            "The dermatologist looked at the mole on his back.",
            "A changing mole on the skin can be a sign of cancer.",
            "The itchy mole on his skin began to bleed.",
        ],
    ),
    "apple": (
        [
            "She ate a ripe apple from the tree.",
            "The pie needs one more apple and some sugar.",
            "He peeled the apple and cut it into slices.",
            "A worm crawled out of the rotten apple.",
        ],
        [
            "The company apple announced a new phone.",
            "Shares of apple rose after its software event.",
            "Engineers at apple designed the processor of the laptop.",
            "In court apple accused its rival of copying the tablet.",
        ],
    ),
    "jaguar": (
        [
            "The jaguar hunted deer in the rainforest.",
            "A spotted jaguar climbed the tree to sleep.",
            "The jaguar is the largest cat of the Americas.",
            "The jaguar ate its prey at the edge of the jungle.",
        ],
        [
            "He drove his old jaguar down the motorway.",
            "The jaguar needs new tires and an oil change.",
            "She parked the jaguar in the garage beside the van.",
            "The engine of his jaguar would not start this morning.",
        ],
    ),
}


@pytest.mark.parametrize("word", SENSES)
def test_a_word_is_nearer_to_itself_in_the_same_sense(word: str, features: Features):
    one, other = SENSES[word]
    found = features.words([*one, *other])
    vectors = np.stack([text.vectors[text.words.index(word)] for text in found])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, np.nan)
    first = np.arange(len(found)) < len(one)
    same_sense = first[:, None] == first
    to_same = np.nanmean(np.where(same_sense, cosines, np.nan), axis=1)
    to_other = np.nanmean(np.where(same_sense, np.nan, cosines), axis=1)
    assert (to_same > to_other).all()
    assert (first[np.nan_to_num(cosines, nan=-1.0).argmax(axis=1)] == first).all(), "the nearest has another sense"
