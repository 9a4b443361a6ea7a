"""Shared code in the console: marked in the list, edited like a script, not run."""

from __future__ import annotations

from console_support import console, write_script


async def test_a_file_of_lib_is_marked_and_f5_says_that_it_does_not_run(project, tmp_path):
    params = "# /// script\n# [tool.gatewright.params.text]\n# type = 'str'\n# ///\n"
    write_script(project, "lib/tags.py", f"{params}def parse(text):\n    return text.split('/')\n")
    write_script(project, "user.py", "from lib.tags import parse\nresult = parse('A/B')\n")
    async with console(project, tmp_path, size=(80, 60)) as c:  # there is room for every script
        await c.shows("L tags")
        await c.open("lib/tags.py")
        await c.press("f5")
        await c.shows("lib/tags.py holds shared code")
        await c.open("user.py")
        await c.press("f5")
        await c.shows('["A", "B"]', "end of output")
