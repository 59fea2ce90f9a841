"""What PyTorch does, where the pages of the family *model* rely on it.

PyTorch is none of the locked tools: these tests run where it is installed, and are skipped
elsewhere.
"""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")


def test_a_parameter_set_after_the_optimizer_is_built_never_changes() -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model.weight = torch.nn.Parameter(torch.ones(2, 2))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert model.weight.grad is not None
    assert torch.equal(model.weight, torch.ones(2, 2))


def test_gradients_add_up_until_they_are_cleared() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    for _ in range(3):
        (2 * weight).sum().backward()
    assert weight.grad.item() == 6


def test_a_loss_made_where_gradients_are_off_does_not_propagate() -> None:
    model = torch.nn.Linear(2, 2)
    with torch.no_grad():
        loss = model(torch.ones(1, 2)).sum()
    with pytest.raises(RuntimeError, match="does not require grad"):
        loss.backward()


def test_a_loss_made_into_a_new_tensor_reaches_no_parameter() -> None:
    model = torch.nn.Linear(2, 2)
    loss = model(torch.ones(1, 2)).sum()
    torch.tensor(loss.item(), requires_grad=True).backward()
    assert model.weight.grad is None


def test_log_softmax_in_front_of_cross_entropy_changes_nothing_and_softmax_does() -> None:
    logits, labels = torch.tensor([[4.0, 0.0, -4.0]]), torch.tensor([0])
    loss = torch.nn.functional.cross_entropy
    assert torch.allclose(loss(logits.log_softmax(dim=1), labels), loss(logits, labels))
    assert loss(logits.softmax(dim=1), labels) > 10 * loss(logits, labels)


@pytest.mark.parametrize(("dtype", "apart"), [("float32", 104), ("float16", 18)])
def test_a_softmax_is_zero_where_logits_are_far_apart(dtype: str, apart: int) -> None:
    def smaller(distance: int) -> float:
        p = torch.tensor([0.0, -float(distance)]).softmax(dim=0)
        return float(p.to(getattr(torch, dtype))[1])

    assert smaller(apart) == 0
    assert smaller(apart - 1) > 0


def test_the_logarithm_of_a_zero_makes_the_gradient_nan() -> None:
    logits = torch.tensor([0.0, -200.0], requires_grad=True)
    p = logits.softmax(dim=0)
    (p * p.log()).sum().backward()
    assert torch.isnan(logits.grad).all()
