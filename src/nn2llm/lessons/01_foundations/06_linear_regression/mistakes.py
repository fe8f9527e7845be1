"""Lesson 1.6: what learners really write, why, and what they must read then. Read by ast, never imported."""

import torch

from nn2llm.course.grading import mistake

mistake(
    "derive-the-slope",
    field="slope_w",
    says="the slope along $b$",
    why="The square is differentiated and the inner factor forgotten: the chain rule needs a second step.",
    slope_w="mean(2*(w*x + b - y))",
)
mistake(
    "derive-the-slope",
    field="slope_w",
    says="A factor 2 is missing",
    why="Many books put 1/2 before the square, so that the 2 goes away; this lesson does not.",
    slope_w="mean((w*x + b - y)*x)",
)
mistake(
    "derive-the-slope",
    field="slope_w",
    says="You added up all pages",
    why="The sign for a sum is remembered, the 1/n in front of it is not.",
    slope_w="2*sum(x*(w*x + b - y))",
)
mistake(
    "derive-the-slope",
    field="slope_w",
    says="The sign is turned",
    why="Truth minus prediction is how a residual is written; the slope then needs a minus.",
    slope_w="mean(2*(y - (w*x + b))*x)",
)
mistake(
    "derive-the-slope",
    field="slope_w",
    says="the loss itself",
    why="Asked for something about the loss, one writes the loss.",
    slope_w="mean((w*x + b - y)**2)",
)
mistake(
    "derive-the-slope",
    field="slope_w",
    says="page by page",
    why="The words 'mean error times x' read like the product of two means.",
    slope_w="2*mean(w*x + b - y)*mean(x)",
)
mistake(
    "derive-the-slope",
    field="slope_w",
    says="around all of it is missing; with it, yours is 0.5 times",
    why="The slope of one page, with the 2 of the square forgotten: the mean over the pages is a second thing to remember.",
    slope_w="(w*x + b - y)*x",
)
mistake(
    "derive-the-slope",
    field="slope_w",
    says="lacks its $2/n$",
    why="The sum of error times input is the heart of the formula; the 2/n in front is forgotten.",
    slope_w="sum((w*x + b - y)*x)",
)
mistake(
    "derive-the-slope",
    field="slope_w",
    says="brackets around the whole error",
    why="One types the formula from left to right, without its brackets.",
    slope_w="2*mean(w*x + b - y*x)",
)
mistake(
    "derive-the-slope",
    field="slope_w",
    says="bias is missing",
    why="The line through zero, y = w x, is what school teaches first.",
    slope_w="2*mean((w*x - y)*x)",
)

mistake(
    "which-fit",
    field="fit",
    says="pages that are too high pay for pages that are too low",
    why="The total is the number that stands last and looks best.",
    fit="a",
)
mistake(
    "which-fit",
    field="fit",
    says="the best where it was fitted and the worst where it is used",
    why="The smallest error wins, and the first row is read first; it was measured on the training pages.",
    fit="c",
)
mistake(
    "which-fit",
    field="typical_miss",
    says="misses upwards and downwards cancel",
    why="An average is taken without a look at the signs.",
    typical_miss=-5.4,
)
mistake(
    "which-fit",
    field="typical_miss",
    says="cancel",
    why="The row of the total is read off instead of averaging the rows above it.",
    typical_miss=5,
)
mistake(
    "which-fit",
    field="typical_miss",
    says="Divide it by seven",
    why="The distances are added and the mean is forgotten.",
    typical_miss=46,
)
mistake(
    "which-fit",
    field="typical_miss",
    says="part of 1",
    why="A calculator gives 0.066, and a percentage is easily left as a fraction.",
    typical_miss=0.066,
)
mistake(
    "which-fit",
    field="typical_miss",
    says="tokens, on the pages of the fit",
    why="The first row is called typical miss, as the question is.",
    typical_miss=117,
)
mistake(
    "which-fit",
    field="typical_miss",
    says="another choice than yours",
    why="The column of one fit is chosen, the numbers of another averaged.",
    fit="a",
    typical_miss=6.57,
)


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="added the slope",
    why="'Gradient' sounds like the way to go; it points uphill.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return w + learning_rate * 2 * (error * x).mean(), b + learning_rate * 2 * error.mean()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="with the new `w`",
    why="Two lines, one after the other, as they are read: the second sees what the first changed.",
)
def gradient_step(w, b, x, y, learning_rate):
    w = w - learning_rate * 2 * ((w * x + b - y) * x).mean()
    b = b - learning_rate * 2 * (w * x + b - y).mean()
    return w, b


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="sum instead of the mean",
    why="torch offers both, and with three pages the result still looks sensible.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return w - learning_rate * 2 * (error * x).sum(), b - learning_rate * 2 * error.sum()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="factor x",
    why="The chain rule's inner factor is forgotten: both parameters get the slope of the bias.",
)
def gradient_step(w, b, x, y, learning_rate):
    slope = 2 * (w * x + b - y).mean()
    return w - learning_rate * slope, b - learning_rate * slope


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="factor 2",
    why="Elsewhere the loss has 1/2 in front and the 2 is gone.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return w - learning_rate * (error * x).mean(), b - learning_rate * error.mean()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="returned the slopes",
    why="The slopes are the hard part; once they are there, one stops.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return 2 * (error * x).mean(), 2 * error.mean()


@mistake(
    "gradient-step",
    check="check_one_step",
    says="0.05",
    why="The rate of the example by hand is typed in, and the argument stays unused.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return w - 0.05 * 2 * (error * x).mean(), b - 0.05 * 2 * error.mean()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="n − 1",
    why="Statistics divides a spread by n - 1, and so do some sums of squares one remembers.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    n = max(len(x) - 1, 1)
    return w - learning_rate * 2 * (error * x).sum() / n, b - learning_rate * 2 * error.sum() / n


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="every prediction met every target",
    why="nn.Linear wants one row a page, so x becomes (n, 1); the targets stay (n,), and nothing complains.",
)
def gradient_step(w, b, x, y, learning_rate):
    model = torch.nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(w)
        model.bias.fill_(b)
    loss = ((model(x[:, None]) - y) ** 2).mean()
    loss.backward()
    return w - learning_rate * model.weight.grad.item(), b - learning_rate * model.bias.grad.item()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="changed its argument",
    why="`x *= w` is short, and in numpy and torch it writes into the caller's data.",
)
def gradient_step(w, b, x, y, learning_rate):
    inputs = x.clone()
    x *= w
    x += b - y
    return w - learning_rate * 2 * (x * inputs).mean(), b - learning_rate * 2 * x.mean()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="added up, and the factor 2",
    why="Error times x, added up: the loop gives that, and 2/n is forgotten.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return w - learning_rate * (error * x).sum(), b - learning_rate * error.sum()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="page by page",
    why="'The mean error times x' reads like the product of two means.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = (w * x + b - y).mean()
    return w - learning_rate * 2 * error * x.mean(), b - learning_rate * 2 * error


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="`learning_rate` is not used",
    why="The slopes are the work; the rate is forgotten when they are subtracted.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return w - 2 * (error * x).mean(), b - 2 * error.mean()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="old values are missing",
    why="The step itself is computed, and taken for the new place.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return -learning_rate * 2 * (error * x).mean(), -learning_rate * 2 * error.mean()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="no step was taken",
    why="backward() fills in the slopes; it moves nothing, and optimizer.step() is forgotten.",
)
def gradient_step(w, b, x, y, learning_rate):
    parameters = torch.tensor([float(w), float(b)], requires_grad=True)
    optimizer = torch.optim.SGD([parameters], lr=learning_rate)
    ((parameters[0] * x + parameters[1] - y) ** 2).mean().backward()
    return parameters[0].item(), parameters[1].item()


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="inside the loop",
    why="One level of indentation too many: the loop ends with its first page.",
)
def gradient_step(w, b, x, y, learning_rate):
    slope_w = slope_b = 0.0
    for x_i, y_i in zip(x.tolist(), y.tolist()):
        error = w * x_i + b - y_i
        slope_w += 2 * error * x_i / len(x)
        slope_b += 2 * error / len(x)
        return w - learning_rate * slope_w, b - learning_rate * slope_b


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="moved after each page",
    why="The loop over the pages and the loop over the steps become one.",
)
def gradient_step(w, b, x, y, learning_rate):
    for x_i, y_i in zip(x.tolist(), y.tolist()):
        error = w * x_i + b - y_i
        w = w - learning_rate * 2 * error * x_i / len(x)
        b = b - learning_rate * 2 * error / len(x)
    return w, b


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="brackets around the whole error",
    why="The error is written into the product without its brackets.",
)
def gradient_step(w, b, x, y, learning_rate):
    slope_w = 2 * (w * x + b - y * x).mean()
    slope_b = 2 * (w * x + b - y).mean()
    return w - learning_rate * slope_w, b - learning_rate * slope_b


@mistake(
    "gradient-step",
    check="check_by_hand",
    says="`b` came back as it was",
    why="The slope of w is the hard one; after it, b is forgotten.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    w = w - learning_rate * 2 * (error * x).mean()
    return w, b


@mistake(
    "gradient-step",
    check="check_one_step",
    says="3, the pages of the example",
    why="The cell above divides by 3, and is copied.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return w - learning_rate * 2 * (error * x).sum() / 3, b - learning_rate * 2 * error.sum() / 3


@mistake(
    "gradient-step",
    check="check_one_step",
    says="lacks the bias",
    why="In the example b starts at 0, so nothing is missing there.",
)
def gradient_step(w, b, x, y, learning_rate):
    error = w * x - y
    return w - learning_rate * 2 * (error * x).mean(), b - learning_rate * 2 * error.mean()


@mistake(
    "two-inputs",
    check="check_planted_plane",
    says="no bias",
    why="The column of ones is an odd thing: it carries no data, so it is left out, and b is set to 0.",
)
def fit_two_inputs(x, s, y):
    w1, w2 = torch.linalg.lstsq(torch.stack([x, s], dim=1), y[:, None]).solution[:, 0]
    return w1, w2, 0.0


@mistake(
    "two-inputs",
    check="check_planted_plane",
    says="each input on its own",
    why="The formula (1.6.7) is there for one input, so it is used twice.",
)
def fit_two_inputs(x, s, y):
    dx, ds, dy = x - x.mean(), s - s.mean(), y - y.mean()
    w1 = (dx * dy).sum() / (dx**2).sum()
    w2 = (ds * dy).sum() / (ds**2).sum()
    return w1, w2, y.mean() - w1 * x.mean() - w2 * s.mean()


@mistake(
    "two-inputs",
    check="check_planted_plane",
    says="order",
    why="The column of ones is put first, as in many books, and the answer comes back in that order.",
)
def fit_two_inputs(x, s, y):
    columns = torch.stack([torch.ones_like(x), x, s], dim=1)
    return tuple(torch.linalg.lstsq(columns, y[:, None]).solution[:, 0])


@mistake(
    "two-inputs",
    check="check_planted_plane",
    says="what the first input leaves",
    why="Fit the characters, then the symbols to the residuals: wrong where the inputs go together.",
)
def fit_two_inputs(x, s, y):
    dx = x - x.mean()
    w1 = (dx * (y - y.mean())).sum() / (dx**2).sum()
    residual = y - w1 * x
    ds = s - s.mean()
    w2 = (ds * (residual - residual.mean())).sum() / (ds**2).sum()
    return w1, w2, (y - w1 * x - w2 * s).mean()


@mistake(
    "two-inputs",
    check="check_planted_plane",
    says="plane is flat",
    why="nn.Linear returns (n, 1), the targets are (n,): the errors become (n, n), and the mean is the best of that.",
)
def fit_two_inputs(x, s, y):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    inputs = torch.stack([x, s], dim=1)
    for _ in range(1500):
        optimizer.zero_grad()
        ((model(inputs) - y) ** 2).mean().backward()
        optimizer.step()
    return [*model.weight[0].tolist(), model.bias.item()]


@mistake(
    "two-inputs",
    check="check_planted_plane",
    says="`s` has no part",
    why="The line of the lesson is fitted once more, and the second input gets a 0.",
)
def fit_two_inputs(x, s, y):
    dx = x - x.mean()
    w1 = (dx * (y - y.mean())).sum() / (dx**2).sum()
    return w1, 0.0, y.mean() - w1 * x.mean()


@mistake(
    "two-inputs",
    check="check_planted_plane",
    says="standardised inputs",
    why="Scaled inputs are easier to fit; that the weights belong to them is forgotten.",
)
def fit_two_inputs(x, s, y):
    columns = [(item - item.mean()) / item.std() for item in (x, s)]
    table = torch.stack([*columns, torch.ones_like(x)], dim=1)
    return tuple(torch.linalg.lstsq(table, y[:, None]).solution[:, 0])


@mistake(
    "two-inputs",
    check="check_planted_plane",
    says="learning rate is too large",
    why="A rate that worked for one input is used for two, whose bowl is steeper.",
)
def fit_two_inputs(x, s, y):
    w1 = w2 = b = 0.0
    for _ in range(2000):
        error = w1 * x + w2 * s + b - y
        step1, step2, step3 = (error * x).mean(), (error * s).mean(), error.mean()
        w1, w2, b = w1 - step1, w2 - step2, b - step3
    return w1, w2, b
