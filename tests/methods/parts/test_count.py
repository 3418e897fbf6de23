from torch import nn

from sslcourse.methods.parts.count import Count


def test_a_count_is_saved_and_loaded_into_one_that_had_counted_otherwise():
    first, second = (nn.ModuleDict({"epochs": Count()}) for _ in range(2))
    assert int(first["epochs"]) == 0
    first["epochs"].add()
    first["epochs"].add(5)
    assert int(first["epochs"]) == 6
    second["epochs"].add(40)
    second.load_state_dict(first.state_dict())
    assert int(second["epochs"]) == 6
    second["epochs"].add()
    assert int(second["epochs"]) == 7 == second.state_dict()["epochs.number"]


def test_only_the_first_question_after_loading_asks_the_device():
    count = Count()
    count.add(3)
    count.number.fill_(11)  # whoever asks it will notice
    assert int(count) == 3
    count.load_state_dict(count.state_dict())
    assert int(count) == 11
