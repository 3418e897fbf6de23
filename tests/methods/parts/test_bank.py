"""Memories of features: what is overwritten, by what, in which order."""

import torch
from torch.nn import functional as F

from sslcourse.methods.parts.bank import MemoryBank, Queue


def test_a_bank_starts_with_rows_of_about_unit_length():
    bank = MemoryBank(1000, 48)
    assert bank.rows.norm(dim=1).sub(1).abs().max() < 0.25 and bank.rows.abs().max() <= 0.25 + 1e-6
    assert list(bank.state_dict()) == ["rows"] and not list(bank.parameters())


def test_update_mixes_old_and_new_and_leaves_the_others():
    bank, f, index = MemoryBank(6, 4), torch.randn(2, 4), torch.tensor([4, 1])
    before = bank.rows.clone()
    read = bank.read(index)
    bank.update(index, f, momentum=0.3)
    for i, row in enumerate(index.tolist()):
        mixed = 0.3 * before[row] + 0.7 * f[i] / f[i].norm()
        torch.testing.assert_close(bank.rows[row], mixed / mixed.norm())
    others = [0, 2, 3, 5]
    assert torch.equal(bank.rows[others], before[others])
    assert torch.equal(read, before[index])  # what was read before stays as it was


def test_draws_reach_every_row():
    assert set(MemoryBank(5, 2).draw(200).tolist()) == set(range(5))


def test_a_queue_forgets_the_oldest_first_and_wraps_round():
    queue = Queue(5, 3)
    keys = torch.randn(13, 3)
    for part in keys.split([2, 2, 2, 7]):
        queue.push(part)
    latest = F.normalize(keys[-5:], dim=1)
    oldest_first = queue.keys.roll(-int(queue.pointer), 0)
    torch.testing.assert_close(oldest_first, latest)


def test_push_says_where_the_keys_lie():
    queue, keys = Queue(4, 2), F.normalize(torch.randn(6, 2), dim=1)
    queue.push(keys[:3])
    places = queue.push(keys[3:])
    assert places.tolist() == [3, 0, 1]
    torch.testing.assert_close(queue.keys[places], keys[3:])
    assert set(queue.state_dict()) == {"keys", "pointer"}


def test_a_queue_may_hold_rows_of_any_length():
    queue, rows = Queue(4, 3, unit=False), 5 * torch.randn(3, 3)
    assert (queue.keys >= 0).all() and (queue.keys > 0).any()
    queue.push(rows)
    assert torch.equal(queue.keys[:3], rows)
