"""Records squad_answers.json: what the official evaluation of SQuAD 2.0 says of random answers.

    pip install transformers==4.57.3    (in an environment of its own: later ones do not have it any more)
    python tests/training/metrics/record_squad_answers.py

`pairs` are [answer, right answer, normalised answer, exact match, F1]; `evaluations` are lists of questions, each
[accepted answers, answer, odds of no answer], with the official numbers of all of them.
"""

import json
import random
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("squad_answers.json")
PIECES = (
    *("the", "The ", "a", " an ", " ", " ", "\t", "\u00a0", "\u3000", "fox", "Fox", "fox's", "red", " owl", "12", "“", "–", "-"),
    *(".", "!", "'", "_", "İ", "ß", "ǅ", "é", "e\u0301", "漢", "के", "🦊", "\u200b", "$", "½"),
)


def main() -> None:
    """Writes the file, the same at every run."""
    source = random.Random(0)
    pairs = [similar_answers(source) for _ in range(300)]
    evaluations = [questions_of(source) for _ in range(40)]
    recorded = {"pairs": [pair_of(*pair) for pair in pairs], "evaluations": [evaluation_of(each) for each in evaluations]}
    lists = {name: ",\n".join(json.dumps(each, ensure_ascii=True) for each in values) for name, values in recorded.items()}
    FILE.write_text("{" + ",\n".join(f'"{name}": [\n{values}\n]' for name, values in lists.items()) + "}\n")


def answer_of(source: random.Random) -> str:
    return "".join(source.choices(PIECES, k=source.randrange(6)))


def similar_answers(source: random.Random) -> tuple[str, str]:
    """The second one has about half of the pieces of the first, in their order or another."""
    pieces = source.choices(PIECES, k=source.randrange(9))
    others = [piece if source.random() < 0.5 else source.choice(PIECES) for piece in pieces]
    if source.random() < 0.5:
        source.shuffle(others)
    joint = source.choice(["", " "])
    return joint.join(pieces), joint.join(others)


def questions_of(source: random.Random) -> list[tuple[list[str], str, float]]:
    """Questions with odds that all differ: of equal ones the script takes some apart, which no threshold can."""
    odds = source.sample(range(-50, 50), 6)
    questions = []
    for each in odds[: source.randint(2, 6)]:
        # At least one word, as all published answers have: the script is of two minds about others.
        accepted = [f"red owl {answer_of(source)}" for _ in range(source.randrange(3))]
        questions.append((accepted, source.choice([*accepted, f"red {answer_of(source)}"]), each / 10))
    return questions


def pair_of(answer: str, right: str) -> list[Any]:
    from transformers.data.metrics import squad_metrics as official

    normalised = official.normalize_answer(answer)
    return [answer, right, normalised, official.compute_exact(right, answer), official.compute_f1(right, answer)]


def evaluation_of(questions: list[tuple[list[str], str, float]]) -> dict[str, Any]:
    """The numbers of answers as they are given: the threshold is above all odds."""
    from transformers.data.metrics import squad_metrics as official
    from transformers.data.processors.squad import SquadExample

    examples = [
        SquadExample(str(number), "", "", None, None, "", [{"text": text} for text in accepted], is_impossible=not accepted)
        for number, (accepted, _, _) in enumerate(questions)
    ]
    answers = {str(number): answer for number, (_, answer, _) in enumerate(questions)}
    odds = {str(number): each for number, (_, _, each) in enumerate(questions)}
    numbers = official.squad_evaluate(examples, answers, odds, no_answer_probability_threshold=1e9)
    return {"questions": questions, "numbers": dict(numbers)}


if __name__ == "__main__":
    main()
