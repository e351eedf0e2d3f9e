"""docs/llms.txt is what the pages say today, and names each of them."""

from tests.house import llms


def test_the_file_is_made_from_the_pages() -> None:
    assert llms.FILE.read_text(encoding="utf-8") == llms.text(), "python -m tests.house.llms --write"


def test_each_page_is_listed_once() -> None:
    listed = [link for links in llms.LISTS.values() for link in links]

    assert sorted(listed) == sorted(llms.pages())
