"""The tuple of topics: whatever stands in a file of `topics/` is read, shown and answered."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from bench.report import topics
from bench.report.answers import TOPICS
from bench.report.pages import PAGES
from bench.report.results import Results
from bench.report.site import contents
from bench.report.topic import Topic


def test_every_topic_of_every_file_is_listed_once() -> None:
    modules = [import_module(f"{topics.__name__}.{module.name}") for module in pkgutil.iter_modules(topics.__path__)]
    declared = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Topic)}
    assert sorted(topic.name for topic in declared.values()) == sorted(topic.name for topic in TOPICS)
    assert len({topic.name for topic in TOPICS}) == len(TOPICS), "a name is that of a page and a block"


def test_every_topic_has_its_page_and_its_block(full: Results) -> None:
    assert {f"{topic.name}.md" for topic in TOPICS if topic.table} == set(PAGES[1:])
    blocks = contents({"box": full}, "reports/")
    assert {f"box/{topic.name}" for topic in TOPICS} <= set(blocks)
    assert blocks["box/accuracy"].startswith("| case")
    assert blocks["box/gaps"].startswith("- **")
