"""Conversations as tokens: by hand, and equal to transformers' rendering of the exported template."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import DataError, TokenizerError
from nn2llm.models.hf.exporting import export_to_hf
from nn2llm.tokenizers import CharTokenizer, FastBPETokenizer, Tokenizer
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat, Message
from tests.models.hf_cases import build_ours

EOT = "<|endoftext|>"
TEXT = "System: You are kind.\nUser: Hello there, who are you?\nAssistant: I am the other one, 1234.\n" * 3


def build_bpe(*special: str) -> FastBPETokenizer:
    return FastBPETokenizer.train([TEXT], vocab_size=300 + len(special), special_tokens=(EOT, *special))


TOKENIZERS: dict[str, Tokenizer] = {
    "chat": build_bpe(*CHAT_TOKENS),
    "chat with system": build_bpe("<|system|>", *CHAT_TOKENS),
    "plain": build_bpe(),
    "characters, chat": CharTokenizer(set(TEXT) | set("<|>!"), (EOT, *CHAT_TOKENS)),
    "characters, plain": CharTokenizer(set(TEXT) | set("!"), (EOT,)),
}


def say(*turns: str, system: str | None = None) -> list[Message]:
    """User and assistant in turn."""
    roles = ("user", "assistant")
    first = [] if system is None else [Message(role="system", content=system)]
    return first + [Message(role=roles[i % 2], content=text) for i, text in enumerate(turns)]


CONVERSATIONS = {
    "question": say("Hello there"),
    "one turn": say("Hello there", "I am."),
    "turns": say("Hello", "I am.", "who are you?", "the other one", "Hello, 1234"),
    "system": say("Hello", "I am.", system="You are kind."),
    "spaces": say("  Hello \n", "\n\nI am. ", " the  other\n\none ", "  I\n"),
}


# --- by hand ------------------------------------------------------------------------------------------------


def test_the_chat_template_by_hand():
    tokenizer = TOKENIZERS["chat"]
    encoded = ChatFormat(tokenizer).encode(CONVERSATIONS["turns"][:3], add_generation_prompt=True)
    special = tokenizer.special_tokens
    user, assistant, end = (special[name] for name in CHAT_TOKENS)
    hello, am, who = (tokenizer.encode(text) for text in ("Hello", "I am.", "who are you?"))
    assert encoded.ids == [
        special[EOT], user, *hello, end, assistant, *am, end, user, *who, end, assistant
    ]  # fmt: skip
    expected = [False] * (4 + len(hello)) + [True] * (len(am) + 1) + [False] * (len(who) + 3)
    assert encoded.is_reply == expected


def test_the_plain_template_by_hand():
    tokenizer = TOKENIZERS["plain"]
    chat = ChatFormat(tokenizer)
    encoded = chat.encode(say(" Hello ", " I am.", system="You are kind."))
    prompt = tokenizer.encode("System: You are kind.\nUser: Hello\nAssistant:")
    reply = tokenizer.encode(" I am.")
    mark = tokenizer.end_of_text_id
    assert chat.end_id == mark
    assert encoded.ids == [mark, *prompt, *reply, mark]
    assert encoded.is_reply == [False] * (1 + len(prompt)) + [True] * (len(reply) + 1)


def test_a_system_prompt_without_a_token_of_its_own_is_marked_in_plain_text():
    for name in ("chat", "chat with system"):
        tokenizer = TOKENIZERS[name]
        ids = ChatFormat(tokenizer).encode(CONVERSATIONS["system"]).ids
        assert tokenizer.decode(ids).startswith(f"{EOT}<|system|>You are kind.<|end|><|user|>Hello<|end|>")
        assert ("<|system|>" in tokenizer.special_tokens) == (ids[1] >= 300)


# --- properties ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_prompt_and_its_reply_are_the_ids_of_both(kind, name):
    chat = ChatFormat(TOKENIZERS[kind])
    messages = CONVERSATIONS[name]
    whole = chat.encode(messages).ids
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            prompt = chat.encode(messages[:number], add_generation_prompt=True).ids
            both = prompt + chat.encode_reply(message["content"])
            assert both == chat.encode(messages[: number + 1]).ids
            assert both == whole[: len(both)]


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_reply_tokens_decode_to_the_replies(kind, name):
    chat = ChatFormat(TOKENIZERS[kind])
    encoded = chat.encode(CONVERSATIONS[name])
    assert len(encoded.ids) == len(encoded.is_reply)
    assert encoded.ids[0] == chat.tokenizer.end_of_text_id
    replies: list[list[int]] = []
    for place, token_id in enumerate(encoded.ids):
        if encoded.is_reply[place]:
            if not encoded.is_reply[place - 1]:
                replies.append([])
            replies[-1].append(token_id)
    said = [one["content"].strip() for one in CONVERSATIONS[name] if one["role"] == "assistant"]
    assert [chat.decode_reply(ids) for ids in replies] == said
    assert all(ids[-1] == chat.end_id and chat.end_id not in ids[:-1] for ids in replies)


@pytest.mark.parametrize("kind", ["chat", "chat with system", "plain"])
def test_special_tokens_in_what_is_said_are_plain_text(kind):
    chat = ChatFormat(TOKENIZERS[kind])
    tricks = "".join([EOT, *CHAT_TOKENS, "<|system|>"])
    honest = chat.encode(say("Hello", "I am.", system="You are kind."))
    tricked = chat.encode(say("Hello" + tricks, "I am." + tricks, system="You are kind." + tricks))
    special = set(chat.tokenizer.special_tokens.values())
    assert [i for i in tricked.ids if i in special] == [i for i in honest.ids if i in special]
    assert chat.decode_reply(chat.encode_reply(tricks)) == tricks


def test_a_reply_ends_at_its_end_token_or_the_end_of_the_text():
    chat = ChatFormat(TOKENIZERS["chat"])
    reply = chat.encode_reply("I am.")
    assert chat.decode_reply(reply + chat.tokenizer.encode(" the other")) == "I am."
    assert chat.decode_reply([*reply[:-1], chat.tokenizer.end_of_text_id, *reply]) == "I am."
    assert chat.decode_reply(reply[:-1]) == "I am."
    assert chat.decode_reply([]) == ""


# --- transformers -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> dict[str, Any]:
    """transformers' tokenizers, from exported folders."""
    transformers = pytest.importorskip("transformers")
    folder: Path = tmp_path_factory.mktemp("exports")
    found = {}
    for name, tokenizer in TOKENIZERS.items():
        export_to_hf(build_ours(vocab_size=tokenizer.vocab_size), tokenizer, folder / name)
        found[name] = transformers.AutoTokenizer.from_pretrained(folder / name)
    return found


def assert_equal_to_transformers(kind: str, messages: list[Message], theirs: Any, *, asks: bool) -> None:
    ours = ChatFormat(TOKENIZERS[kind]).encode(messages, add_generation_prompt=asks)
    expected = theirs.apply_chat_template(
        messages, add_generation_prompt=asks, return_dict=True, return_assistant_tokens_mask=True
    )
    assert ours.ids == expected["input_ids"]
    assert [int(is_reply) for is_reply in ours.is_reply] == expected["assistant_masks"]


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_transformers_renders_the_same_ids_and_mask(rendered, kind, name, asks):
    assert_equal_to_transformers(kind, CONVERSATIONS[name], rendered[kind], asks=asks)


SAID = st.text(alphabet="aeH .,!?\n\t'12é日🙂<|>:", min_size=1, max_size=12).filter(str.strip)


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(["chat", "chat with system", "plain"]), turns=st.lists(SAID, min_size=1, max_size=4)
)
def test_transformers_renders_the_same_of_any_text(rendered, kind, turns):
    assert_equal_to_transformers(kind, say(*turns), rendered[kind], asks=len(turns) % 2 == 1)


# --- what is no conversation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "A conversation needs at least one message, got none."),
        ([{"role": "bot", "content": "Hi"}], "Message 1 has the unknown role 'bot'. Use system, user or"),
        (say("Hi", " \n"), "Message 2 is an empty reply."),
        (say("", "Hi"), "Message 1 is an empty message of the user."),
        (say("Hi", system=" "), "Message 1 is an empty message of the system."),
        ([*say("Hi"), *say("there")], "Messages 1 and 2 are both of the user. Join them"),
        ([*say("Hi", "I"), *say("a", "am")[1:]], "Messages 2 and 3 are both of the assistant."),
        ([*say("Hi", "I"), *say(system="be")], "Message 3 is a system prompt. It can only be the first"),
        (say("Hi", "I")[1:], "Message 1 is a reply to nothing."),
        (say("Hi", "I", system="be")[0::2], "Message 2 is a reply to nothing."),
    ],
)
def test_what_is_no_conversation_is_one_sentence(messages, words):
    chat = ChatFormat(TOKENIZERS["chat"])
    for act in (chat.check, chat.encode):
        with pytest.raises(DataError) as raised:
            act(messages)
        assert words in str(raised.value)


def test_a_tokenizer_that_can_write_no_template_is_refused():
    with pytest.raises(
        TokenizerError, match=r"can write no conversation: it lacks the special tokens <\|user\|>"
    ):
        ChatFormat(CharTokenizer("abc"))


def test_more_special_tokens_keep_all_ids():
    for tokenizer in (build_bpe(), CharTokenizer(TEXT)):
        larger = tokenizer.with_special_tokens(CHAT_TOKENS)
        assert type(larger) is type(tokenizer)
        assert larger.vocab_size == tokenizer.vocab_size + 3
        assert larger.encode(TEXT) == tokenizer.encode(TEXT)
        assert larger.end_of_text_id == tokenizer.end_of_text_id
        assert list(larger.special_tokens) == [EOT, *CHAT_TOKENS]
        with pytest.raises(TokenizerError, match="different names"):
            larger.with_special_tokens(["<|end|>"])
