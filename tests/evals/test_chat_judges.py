"""A chat model as judge: its answers read, its logits compared, its babble counted."""

import pytest

from nn2llm.evals.chat_judges import ChatJudge, ask_until, build_question, parse_verdict
from nn2llm.evals.chat_models import EndpointChatModel
from nn2llm.evals.constitution import Principle
from nn2llm.evals.endpoint import Endpoint, EndpointConfig
from nn2llm.evals.judges import JudgeRequest, Verdict, judge_pairs
from tests.evals.chat_server import run_server

PROMPT = ({"role": "user", "content": "Who bakes?"},)
RULE = Principle(name="brief", text="Be brief.")
REQUEST = JudgeRequest(PROMPT, "Ada does.", "It is Ada who does.", RULE)


class Fake:
    """A chat model whose words, or probabilities of A, are given."""

    name = "fake"

    def __init__(self, say=None, first=None):
        self.say, self.first, self.asked = say, first, []

    def complete(self, conversations, *, max_new_tokens, attempt=0):
        self.asked += [(one[-1]["content"], attempt) for one in conversations]
        return [self.say(one[-1]["content"], attempt) for one in conversations]

    def choose(self, conversations, options):
        assert tuple(options) == ("A", "B")
        return None if self.first is None else [(self.first, 1 - self.first) for _ in conversations]


@pytest.mark.parametrize(
    ("text", "choice", "reason"),
    [
        ("A", "first", ""),
        (" **B**\n", "second", ""),
        ("B.", "second", ""),
        ("b", "second", ""),
        ("T", "tie", ""),
        ("Tie", "tie", ""),
        ("A) it is shorter", "first", "it is shorter"),
        ("Answer: B", "second", ""),
        ("The better reply is A.", "first", ""),
        ("Reply B is better, it is kinder", "second", ", it is kinder"),
        ("B\nbecause it helps", "second", "because it helps"),
    ],
)
def test_answers_that_are_verdicts(text, choice, reason):
    assert parse_verdict(text) == Verdict(choice, reason)


@pytest.mark.parametrize(
    "text", ["", "...", "A good question", "a reply", "Both are fine", "This one", "I like B", "AB", "C"]
)
def test_answers_that_are_none(text):
    assert parse_verdict(text) is None


def test_the_question_holds_rule_conversation_and_replies():
    (message,) = build_question(REQUEST)
    text = message["content"]
    places = [text.index(part) for part in ("Rule: Be brief.", "User: Who bakes?", "[Reply A]\nAda does.\n")]
    assert places == sorted(places)
    assert text.index("[Reply A]") < text.index("[Reply B]\nIt is Ada who does.\n")
    assert "helpful, honest and harmless" in build_question(JudgeRequest(PROMPT, "a", "b"))[0]["content"]


@pytest.mark.parametrize(
    ("first", "choice"), [(0.7, "first"), (0.3, "second"), (0.51, "tie"), (0.485, "tie"), (0.53, "first")]
)
def test_logits_are_a_verdict_with_its_probability(first, choice):
    (verdict,) = ChatJudge(Fake(first=first)).compare([REQUEST])
    assert (verdict.choice, verdict.probability) == (choice, first)


def test_a_judge_of_logits_that_always_finds_a_likelier_decides_nothing():
    judged = judge_pairs(ChatJudge(Fake(first=0.8)), [REQUEST])
    assert (judged.num_order_decided, judged.verdicts[0].choice) == (1, "tie")
    assert judged.verdicts[0].probability == pytest.approx(0.5)


def test_babble_is_asked_again_and_then_counted():
    model = Fake(say=lambda text, attempt: "A" if attempt == 1 and "brief" in text else "lalala")
    judge = ChatJudge(model, num_attempts=3)
    other = JudgeRequest(PROMPT, "x", "y")
    assert judge.compare([REQUEST, other]) == [Verdict("first"), None]
    assert judge.babble == "lalala"
    assert [attempt for _, attempt in model.asked] == [0, 0, 1, 1, 2]


def test_ask_until_keeps_what_is_usable_and_names_what_is_not():
    model = Fake(say=lambda text, attempt: None if text == "b" else text * (attempt + 1))
    asked = [[{"role": "user", "content": text}] for text in "abc"]
    answers, babble = ask_until(
        model,
        asked,
        lambda text: text if len(text) > 1 or text == "a" else None,
        max_new_tokens=1,
        num_attempts=2,
    )
    assert answers == ["a", None, "cc"]
    assert babble == ""
    assert ask_until(model, [], str, max_new_tokens=1, num_attempts=2) == ([], None)


def test_where_the_first_twenty_all_babble_the_rest_is_not_asked():
    model = Fake(say=lambda text, attempt: "lalala")
    asked = [[{"role": "user", "content": str(number)}] for number in range(50)]
    answers, babble = ask_until(model, asked, parse_verdict, max_new_tokens=1, num_attempts=2)
    assert (answers, babble) == ([None] * 50, "lalala")
    assert len(model.asked) == 40
    model = Fake(say=lambda text, attempt: "A" if text in ("3", "49") else "lalala")
    answers, _ = ask_until(model, asked, parse_verdict, max_new_tokens=1, num_attempts=2)
    assert [at for at, answer in enumerate(answers) if answer] == [3, 49]
    assert len(model.asked) == 50 + 48


def test_a_server_that_prefers_what_it_reads_first():
    with run_server() as server:
        server.answer = lambda number, body: "A"
        model = EndpointChatModel(Endpoint(server.url, "tiny", EndpointConfig()))
        judged = judge_pairs(ChatJudge(model), [REQUEST, JudgeRequest(PROMPT, "x", "y")])
        assert judged.to_dict() == {"pairs": 2, "ties": 2, "order_decided": 2, "failed": 0, "looks": 4}
        assert model.name == f"tiny of 127.0.0.1:{server.server_port}"
        server.answer = lambda number, body: (
            "A" if "[Reply A]\nAda" in body["messages"][0]["content"] else "B"
        )
        fresh = EndpointChatModel(Endpoint(server.url, "tiny", EndpointConfig()))
        assert judge_pairs(ChatJudge(fresh), [REQUEST]).verdicts[0].choice == "first"
