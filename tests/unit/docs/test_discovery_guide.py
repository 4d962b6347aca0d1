"""What the guide to discovery says of sources, lists and labels is what the program knows."""

import json
import re
from pathlib import Path

from reviver.config.models import Discover
from reviver.config.models.discover import KINDS
from reviver.discovery import docker
from reviver.discovery.polling import AGAIN
from reviver.discovery.servers import read_servers

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "discovery.md").read_text(encoding="utf-8")


def test_each_source_is_in_the_table_and_shown() -> None:
    assert tuple(re.findall(r"^\| `(\w+): ", GUIDE, re.MULTILINE)) == KINDS
    shown = "".join(re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
    for kind in KINDS:
        assert re.search(rf"\b{kind}: ", shown), kind


def test_lists_are_good_ones() -> None:
    lists = re.findall(r"^```json\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(lists) == 2
    for text in lists:
        assert len(read_servers(json.loads(text))) == 2


def test_labels_are_those_that_are_read() -> None:
    named = re.findall(r"^\| `(reviver\.\w+)`", GUIDE, re.MULTILINE)
    assert named == [docker.LABEL, docker.PORT, docker.WEIGHT]
    assert set(re.findall(r"--label (reviver\.\w+)=", GUIDE)) == set(named)


def test_defaults_and_pauses_are_those_of_the_program() -> None:
    defaults = Discover.model_validate({"docker": {}})
    assert f"`timeout` ({defaults.timeout.seconds} s)" in GUIDE
    assert f"`min_servers`** ({defaults.min_servers})" in GUIDE
    assert f"after {', '.join(f'{pause:g}' for pause in AGAIN[:-1])} and then every {AGAIN[-1]:g} seconds" in GUIDE
