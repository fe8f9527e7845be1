"""Token trees: who sees whom, by hand."""

import torch

from nn2llm.nn.trees import TokenTree

# p p a b b pad
POSITIONS = torch.tensor([[0, 1, 2, 2, 3, 0]])
BRANCHES = torch.tensor([[0, 0, 1, 2, 2, -1]])


def test_a_reply_sees_its_prompt_and_itself_alone():
    mask = TokenTree(POSITIONS, BRANCHES).build_mask()
    expected = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 0, 0, 0, 1],  # padding sees something: a query without keys is NaN in some kernels
    ]
    assert mask.shape == (1, 1, 6, 6)
    assert mask[0, 0].int().tolist() == expected


def test_a_window_counts_positions_of_the_conversation_not_columns():
    mask = TokenTree(POSITIONS, BRANCHES).build_mask(window=2)[0, 0].int().tolist()
    assert mask[2] == [0, 1, 1, 0, 0, 0]
    assert mask[3] == [0, 1, 0, 1, 0, 0]
    assert mask[4] == [0, 0, 0, 1, 1, 0]


def test_the_first_token_of_each_reply_follows_the_end_of_the_prompt():
    assert TokenTree(POSITIONS, BRANCHES).list_parents()[0, :5].tolist() == [0, 0, 1, 1, 3]
    of_two = TokenTree(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 2]]))  # replies of one token
    assert of_two.list_parents().tolist() == [[0, 0, 0]]
