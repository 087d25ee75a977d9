"""Makes a manual page: what stands elsewhere already is put in from there, then scdoc sets it.

    expand.py SCDOC PAGE.scd >PAGE

In the page, a line `@prototypes` becomes the declarations of all functions that it lists (under FUNCTIONS, in lines that begin
with *spile_...*), as the public headers have them; a line `@example NAME.c` becomes that file of examples/. `--functions PAGE.scd` prints the names.
"""
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent
WIDTH = 72  # of a declaration, which a page indents


def functions(page: str) -> list[str]:
    listed = page.partition("\n# FUNCTIONS\n")[2].partition("\n# ")[0]
    return [name for line in re.findall(r"^\*spile_.*$", listed, re.MULTILINE) for name in re.findall(r"\*(spile_\w+)\*", line)]


def declarations() -> dict[str, str]:
    headers = "".join(path.read_text() for path in sorted((SOURCE / "include").glob("*.h")))
    found = {}
    for text in re.findall(r"^SPILE_API (.*?;)", headers, re.MULTILINE | re.DOTALL):
        text = " ".join(text.split())
        found[re.search(r"(spile_\w+)\(", text)[1]] = text
    return found


def fitted(text: str) -> str:
    """On as many lines as it needs, broken between parameters."""
    head, parameters = re.fullmatch(r"(.*?\()(.*)", text).groups()
    lines = [head]
    for number, parameter in enumerate(parameters.split(", ")):
        before = ", " if number else ""
        if number and len(lines[-1] + before + parameter) > WIDTH:
            lines[-1] += ","
            lines.append(" " * 8 + parameter)
        else:
            lines[-1] += before + parameter
    return "\n".join(lines)


def literal(text: str) -> str:
    return "```\n" + text.strip("\n").replace("\\", "\\\\") + "\n```"


def expand(page: str) -> str:
    known = declarations()
    prototypes = literal("\n".join(fitted(known[name]) for name in functions(page) if name in known))
    page = re.sub(r"^@prototypes$", lambda _: prototypes, page, flags=re.MULTILINE)
    return re.sub(r"^@example (\S+)$", lambda found: literal((SOURCE / "examples" / found[1]).read_text()), page,
                  flags=re.MULTILINE)


def main() -> int:
    what, path = sys.argv[1:]
    page = pathlib.Path(path).read_text()
    if what == "--functions":
        print(*functions(page), sep="\n")
        return 0
    return subprocess.run([what], input=expand(page), text=True).returncode


if __name__ == "__main__":
    sys.exit(main())
