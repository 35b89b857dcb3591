import json
import re

import pytest
from tests.training.test_loop import configure

from strongreid.training.profile import PHASES, profile


def test_the_table_accounts_for_a_step_and_the_trace_can_be_read(market, tmp_path):
    table = profile(configure(market, tmp_path / "run"), progress=False)
    rows = dict(re.findall(r"^(\w[\w ]+?) +([\d.-]+) +[\d.-]+%", table, re.MULTILINE))
    assert set(rows) == {*PHASES, "the rest"}
    total = float(re.search(r"steps of 4 pictures: ([\d.]+) ms each, [\d.]+ pictures/s", table)[1])
    assert sum(map(float, rows.values())) == pytest.approx(total, abs=0.5)
    assert all(float(rows[phase]) > 0 for phase in ("forward", "backward"))
    assert (tmp_path / "run/profile.txt").read_text() == table + "\n"
    trace = json.loads((tmp_path / "run/trace.json").read_text())
    names = [event.get("name") for event in trace["traceEvents"]]
    for phase in PHASES:
        assert names.count(phase) >= 10
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"profile.txt", "trace.json"}
