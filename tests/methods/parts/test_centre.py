import torch

from sslcourse.methods.parts.centre import Centre


def test_the_centre_starts_at_zero_and_follows_the_mean_of_all_that_it_is_given():
    c, g = Centre(3, momentum=0.9), torch.randn(2, 5, 3)  # two crops of five images
    assert not c.value.any() and set(c.state_dict()) == {"value"}
    c.update(g.requires_grad_())
    mean = sum(g[i, j] for i in range(2) for j in range(5)) / 10
    torch.testing.assert_close(c.value, 0.1 * mean)
    assert not c.value.requires_grad
    c.update(torch.ones(4, 3))
    torch.testing.assert_close(c.value, 0.09 * mean + 0.1)


def test_half_precision_is_averaged_in_full():
    c, g = Centre(3, momentum=0.0), (1000 + torch.rand(64, 3)).bfloat16()
    c.update(g)
    torch.testing.assert_close(c.value, g.float().mean(0))
