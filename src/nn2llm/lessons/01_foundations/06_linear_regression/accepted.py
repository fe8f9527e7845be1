"""Lesson 1.6: right answers in several styles; every one must pass. Read by ast, never imported."""

import numpy as np
import torch

from nn2llm.course.grading import accepted

accepted("derive-the-slope", "written out with a sum", slope_w="2/n*sum((w*x + b - y)*x)")
accepted("derive-the-slope", "multiplied out", slope_w="2*w*mean(x**2) + 2*b*mean(x) - 2*mean(x*y)")
accepted("derive-the-slope", "as the lesson writes it", slope_w="∂L/∂w = 2/n Σ (w x_i + b − y_i) x_i")
accepted("derive-the-slope", "as torch writes it", slope_w="2*((w*x + b - y)*x).mean()")
accepted("derive-the-slope", "as numpy writes it", slope_w="2*np.sum((w*x + b - y)*x)/len(x)")
accepted("derive-the-slope", "two minus signs", slope_w="-2*mean(x*(y - (b + w*x)))")

accepted(
    "which-fit",
    "rounded to a whole",
    fit="B",
    typical_miss=7,
    reason="On new pages a single bill is the nearest with this fit.",
)
accepted(
    "which-fit",
    "from the printed percentages",
    fit="b",
    typical_miss=6.57,
    reason="Its misses on pages it never saw are the smallest ones.",
)
accepted(
    "which-fit",
    "computed from the data",
    fit="b",
    typical_miss=6.53,
    reason="Smallest average miss page by page on the unseen pages, signs ignored.",
)
accepted(
    "which-fit",
    "a decimal comma, a sign, a script without spaces",
    fit="b",
    typical_miss="6,6 %",
    reason="在没有见过的页面上平均误差最小。",
)


@accepted("gradient-step", "a loop over the pages")
def gradient_step(w, b, x, y, learning_rate):
    slope_w = slope_b = 0.0
    for x_i, y_i in zip(x.tolist(), y.tolist()):
        error = w * x_i + b - y_i
        slope_w += 2 * error * x_i / len(x)
        slope_b += 2 * error / len(x)
    return w - learning_rate * slope_w, b - learning_rate * slope_b


@accepted("gradient-step", "autograd")
def gradient_step(w, b, x, y, learning_rate):
    w = torch.tensor(float(w), requires_grad=True)
    b = torch.tensor(float(b), requires_grad=True)
    loss = ((w * x + b - y) ** 2).mean()
    loss.backward()
    return w.item() - learning_rate * w.grad.item(), b.item() - learning_rate * b.grad.item()


@accepted("gradient-step", "torch.optim.SGD")
def gradient_step(w, b, x, y, learning_rate):
    parameters = torch.tensor([float(w), float(b)], requires_grad=True)
    optimizer = torch.optim.SGD([parameters], lr=learning_rate)
    torch.nn.functional.mse_loss(parameters[0] * x + parameters[1], y).backward()
    optimizer.step()
    return parameters


@accepted("gradient-step", "autograd with no_grad, in place on its own tensors")
def gradient_step(w, b, x, y, learning_rate):
    w, b = torch.tensor(w, requires_grad=True), torch.tensor(b, requires_grad=True)
    ((w * x + b - y) ** 2).mean().backward()
    with torch.no_grad():
        w -= learning_rate * w.grad
        b -= learning_rate * b.grad
    return w, b


@accepted("gradient-step", "a list of two, in double precision")
def gradient_step(w, b, x, y, learning_rate):
    x, y = x.double(), y.double()
    x_ones = torch.stack([x, torch.ones_like(x)])
    step = learning_rate * 2 / len(x) * x_ones @ (w * x + b - y)
    return [float(w - step[0]), float(b - step[1])]


@accepted("gradient-step", "errors changed in place, of a copy")
def gradient_step(w, b, x, y, learning_rate):
    error = x.clone()
    error *= w
    error += b
    error -= y
    b = b - learning_rate * 2 * torch.mean(error)
    error *= x
    return w - learning_rate * 2 * torch.mean(error), b


@accepted("two-inputs", "normal equations")
def fit_two_inputs(x, s, y):
    X = torch.stack((x, s, torch.ones(len(x))), dim=1).double()
    w1, w2, b = torch.linalg.solve(X.T @ X, X.T @ y.double()).tolist()
    return w1, w2, b


@accepted("two-inputs", "gradient steps on standardised inputs")
def fit_two_inputs(x, s, y):
    inputs = torch.stack([x, s]).double()
    centre = inputs.mean(dim=1, keepdim=True)
    spread = inputs.std(dim=1, keepdim=True, correction=0)
    z = (inputs - centre) / spread
    w, b = torch.zeros(2, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for _ in range(20_000):
        error = w @ z + b - y
        step_w, step_b = 2 * (z * error).mean(dim=1), 2 * error.mean()
        if max(step_w.abs().max(), step_b.abs()) < 1e-9:
            break
        w, b = w - 0.3 * step_w, b - 0.3 * step_b
    w = w / spread[:, 0]
    return w[0], w[1], b - (w * centre[:, 0]).sum()


@accepted("two-inputs", "numpy, polyfit's sister")
def fit_two_inputs(x, s, y):
    table = np.column_stack([x.numpy(), s.numpy(), np.ones(len(x))]).astype(float)
    return tuple(np.linalg.lstsq(table, y.numpy().astype(float), rcond=None)[0])


@accepted("two-inputs", "scikit-learn")
def fit_two_inputs(x, s, y):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(torch.stack([x, s], dim=1).numpy(), y.numpy())
    return [model.coef_[0], model.coef_[1], model.intercept_]


@accepted("two-inputs", "autograd and LBFGS")
def fit_two_inputs(x, s, y):
    x, s, y = x.double(), s.double(), y.double()
    theta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        loss = ((theta[0] * x + theta[1] * s + theta[2] - y) ** 2).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return theta.detach()


@accepted("two-inputs", "zero slopes by hand, centred")
def fit_two_inputs(x, s, y):
    dx, ds, dy = x - x.mean(), s - s.mean(), y - y.mean()
    xx, xs, ss = (dx * dx).sum(), (dx * ds).sum(), (ds * ds).sum()
    xy, sy = (dx * dy).sum(), (ds * dy).sum()
    determinant = xx * ss - xs * xs
    w1 = (ss * xy - xs * sy) / determinant
    w2 = (xx * sy - xs * xy) / determinant
    return w1.item(), w2.item(), (y.mean() - w1 * x.mean() - w2 * s.mean()).item()
