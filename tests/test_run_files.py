"""Where the files of a call come from and go to.

Nothing here sleeps: programs say that they are there through a FIFO. Each test has a directory of its own.
"""
import os
import stat
import subprocess

from run_host import ASSEMBLY, host  # noqa: F401 (a fixture)


# ------------------------------------------------------------------------------------------------ what it is for


def test_chain_leaves_only_its_output(host):
    host.write("a.s", ASSEMBLY)
    host.ok("as {<a.s} -o {>a.o}", "ld {<a.o} -o {>prog}")
    assert host.names() == ["a.s", "prog"]
    assert subprocess.run([host.directory / "prog"], check=False).returncode == 0


def test_order_of_templates_does_not_matter(host):
    host.write("a", b"b\na\n")
    host.ok("cp {<sorted} {>b}", "sort {<a} -o {>sorted}")
    assert host.read("b") == b"a\nb\n"


def test_new_output_is_writable_and_follows_the_umask(host):
    host.write("a", b"x")
    host.ok("cp {<a} {>b}", preexec_fn=lambda: os.umask(0o027))
    assert stat.S_IMODE((host.directory / "b").stat().st_mode) == 0o640


# ------------------------------------------------------------------------------------------------------- bindings


def test_bindings_to_paths(host):
    host.write("else/in", b"data")
    host.ok("cat <{x} >{y}", "x=else/in", "y=else/out")
    assert host.read("else/out") == b"data"
    assert host.names() == ["else/in", "else/out"]


def test_binding_may_stand_before_its_template(host):
    host.write("in", b"data")
    host.ok("x=in", "cat <{x} >{y}")
    assert host.read("y") == b"data"


def test_binding_with_equals_sign_and_blanks_in_its_path(host):
    host.write("a = b", b"data")
    host.ok("cat <{x} >{y}", "x=a = b")
    assert host.read("y") == b"data"


def test_standard_streams(host):
    assert host.ok("tr a-z A-Z <{x} >{y}", "x=-", "y=-", data=b"hello") == b"HELLO"


def test_files_called_like_streams(host):
    host.write("-", b"dash")
    host.write("@7", b"at")
    host.ok("cat {<x} {<y} >{z}", "x=./-", "y=./@7")
    assert host.read("z") == b"dashat"


def test_descriptors(host):
    source, target = host.write("source", b"0123456789"), host.write("target")
    with open(source, "rb", buffering=0) as reader, open(target, "wb") as writer:
        reader.read(3)
        host.ok("cat {<x} >{y}", f"x=@{reader.fileno()}", f"y=@{writer.fileno()}",
                pass_fds=[reader.fileno(), writer.fileno()])
    assert host.read("target") == b"3456789"


def test_descriptors_are_checked(host):
    host.write("x")
    with open(host.directory / "x", "rb") as reader:
        fd = reader.fileno()
        host.refused("cat {<x} >{y}", f"y=@{fd}", pass_fds=[fd], says=f"descriptor {fd} is open for reading only")
    with open(host.directory / "w", "wb") as writer:
        fd = writer.fileno()
        host.refused("cat {<x}", f"x=@{fd}", pass_fds=[fd], says=f"descriptor {fd} is open for writing only")
    host.refused("cat {<x}", "x=@77", says="'x=@77': descriptor 77 is not open")
    host.refused("cat {<x}", "x=@", says="'x=@' names no descriptor: write x=@3, or x=./@")
    host.refused("cat {<x}", "x=@abc", says="names no descriptor")
    # Descriptors of the library's own are not the user's, whatever their number.
    for fd in range(3, 12):
        host.refused("cat {<x}", f"x=@{fd}", says="is not open")


def test_closed_standard_streams(host):
    host.write("x", b"data")
    host.refused("cat {<x} >{y}", "x=-", preexec_fn=lambda: os.close(0), says="standard input is not open")
    host.refused("cat {<x} >{y}", "y=-", preexec_fn=lambda: os.close(1), says="standard output is not open")
    host.ok("cat {<x} >{y}", preexec_fn=lambda: (os.close(0), os.close(1), os.close(2)))
    assert host.read("y") == b"data"


def test_operand_is_a_binding_only_for_a_name_in_a_template(host):
    host.write("x", b"data")
    assert host.ok("LC_ALL=C sh -c 'cat \"$1\"; echo $V' sh {<x}") == b"data\n"
    assert host.ok("V=1 sh -c 'cat \"$1\"; echo $V' sh {<x}", "W=2 sh -c 'echo $W'").split() in (
        [b"data1", b"2"], [b"2", b"data1"])
    # A name that is also a variable: the text before '=' is in a template, so it is a binding.
    host.ok("cat {<V} >{y}", "V=x")
    assert host.read("y") == b"data"


def test_variable_that_only_looks_like_a_name(host):
    # '{print}' in single quotes is no mark, so print=... is a template with an assignment.
    host.write("x", b"data\n")
    out = host.ok("awk '{print}' {<x}", "print=1 sh -c 'echo $print'")
    assert sorted(out.split()) == [b"1", b"data"]


def test_bare_programs(host):
    assert host.ok("true") == b""
    assert host.ok("echo a  b") == b"a b\n"


def test_slips_of_bindings(host):
    host.write("A.asm")
    host.refused("cat {<A.asm} >{A.o}", "A.ams=x", says="'A.ams' is no name in a template: did you mean 'A.asm=x'?")
    host.refused("cat {<A.asm} >{A.o}", "other=x", says="'other' is no name in a template: mark it {<other}")
    host.refused("cat {<A.asm}", "A.asm=", says="'A.asm=' lacks its path")
    host.refused("cat {<A.asm}", "A.asm=x", "A.asm=y", says="'A.asm' is bound twice: by 'A.asm=x' and by 'A.asm=y'")
    host.refused("cat {<A.asm}", "-i", "A.asm", says="'A.asm' lacks '='")
    host.refused("cat {<A.asm}", "-i", "=x", says="'=x' lacks a name")
    host.refused("echo {size}", "size=3", says="'size' is a value, not a file: write -v size=3")


def test_input_option(host):
    host.write("there", b"data")
    host.ok("cat {<x} >{y}", "-i", "x=there")
    assert host.read("y") == b"data"


def test_extra_input_is_in_every_directory(host):
    host.write("inc/a.h", b"extra\n")
    out = host.ok("cat sub/a.h", "cat sub/a.h", "-i", "sub/a.h=inc/a.h")
    assert out == b"extra\nextra\n"


def test_extra_inputs_by_pattern_and_tree(host):
    host.write("inc/a.h", b"a\n")
    host.write("inc/b.h", b"b\n")
    host.write("inc/c.txt", b"c\n")
    assert host.ok("sh -c 'cat *'", "-i", "*.h=inc") == b"a\nb\n"
    assert host.ok("sh -c 'cat d/*'", "-i", "d/=inc") == b"a\nb\nc\n"


def test_output_option(host):
    host.write("a", b"b\na\n")
    host.ok("sort {<a} -o {>b}", "head -n 1 {<b} >{c}", "-o", "b=kept", "-o", "c=first")
    assert (host.read("kept"), host.read("first")) == (b"a\nb\n", b"a\n")
    assert host.names() == ["a", "first", "kept"]


def test_outputs_that_no_template_names(host):
    host.ok("sh -c 'echo 1 >one; echo 2 >two.log; echo 3 >three.log'", "-o", "one=1", "-o", "*.log=.")
    assert host.names() == ["1", "three.log", "two.log"]


def test_options_for_the_wrong_direction(host):
    host.write("a", b"x")
    host.refused("cp {<a} {>b}", "-i", "b=a", says="-i b=a: 'b' is made by a program")
    host.refused("cp {<a} {>b}", "-o", "a=c", says="-o a=c: 'a' is only read")


def test_in_place_file(host):
    host.write("x", b"abc", 0o640)
    host.ok("sed -i s/b/B/ {<>x}")
    assert host.read("x") == b"aBc"
    assert stat.S_IMODE((host.directory / "x").stat().st_mode) == 0o640


def test_in_place_file_from_one_place_to_another(host):
    host.write("from", b"abc")
    host.ok("sed -i s/b/B/ {<>x}", "-i", "x=from", "-o", "x=to")
    assert (host.read("from"), host.read("to")) == (b"abc", b"aBc")
    host.ok("sed -i s/b/B/ {<>x}", "-i", "x=from")
    assert host.names() == ["from", "to", "x"]
    assert host.ok("sed -i s/b/B/ {<>x}", "x=-", data=b"bb") == b"Bb"


def test_append(host):
    host.ok("echo one >>{log}")
    host.ok("echo two >>{log}")
    assert host.read("log") == b"one\ntwo\n"


def test_patterns_that_are_read(host):
    for name in ["b.c", "a.c", ".hidden.c", "c.h", "sub/d.c", "sub/deep/e.c", ".dot/f.c"]:
        host.write(name, name.encode() + b"\n")
    assert host.ok("cat {<*.c}") == b"a.c\nb.c\n"
    assert host.ok("cat {<[ac].?}") == b"a.c\nc.h\n"
    assert host.ok("cat {<*/*.c}") == b"sub/d.c\n"
    assert host.ok("cat {<**/*.c}") == b"a.c\nb.c\nsub/d.c\nsub/deep/e.c\n"
    assert host.ok("cat {<sub/**.c}") == b"sub/d.c\nsub/deep/e.c\n"
    assert host.ok("cat {<**/**/*.c}") == b"a.c\nb.c\nsub/d.c\nsub/deep/e.c\n"
    assert b" from 'a.c', 'b.c', 'sub/d.c', 'sub/deep/e.c'\n" in host.ok("-n", "cat {<**/*.c}")
    assert host.ok("cat {<.*.c}") == b".hidden.c\n"
    assert host.ok("cat {<*.c}", "*.c=sub") == b"sub/d.c\n"


def test_pattern_without_a_match(host):
    host.refused("cat {<*.c}", says="no file here matches '*.c': say where they are by '*.c=DIRECTORY'")
    host.write("sub/x.h")
    host.refused("cat {<*.c}", "*.c=sub", says="no file in 'sub' matches '*.c'")
    host.refused("cat {<*.c}", "*.c=sub/x.h", says="'*.c' is a pattern, so 'sub/x.h' must be a directory")
    host.refused("cat {<*.c}", "*.c=-", says="a pattern is bound to a directory")


def test_pattern_beside_a_name_it_matches(host):
    host.write("a.c", b"a\n")
    host.write("b.c", b"b\n")
    host.write("elsewhere", b"A\n")
    assert host.ok("cat {<a.c} {<*.c}", "a.c=elsewhere") in (b"A\nA\nb\n", b"A\nb\n")


def test_patterns_that_are_written(host):
    host.write("x", b"one\ntwo\n")
    host.ok("split -l 1 {<x} part. {+>part.*}")
    assert (host.read("part.aa"), host.read("part.ab")) == (b"one\n", b"two\n")
    host.ok("split -l 1 {<x} part. {+>part.*}", "part.*=new")
    assert host.read("new/part.ab") == b"two\n"


def test_pattern_fed_by_a_program_takes_nothing_from_the_host(host):
    host.write("a.s", ASSEMBLY)
    host.write("stale.o", b"not an object")
    host.write("a.o", b"older")
    host.ok("as {<a.s} -o {>a.o}", "ld {<*.o} -o {>prog}")
    assert host.names() == ["a.o", "a.s", "prog", "stale.o"]


def test_pattern_fed_by_a_program_and_by_the_host(host):
    host.write("given.c", b"given\n")
    host.write("made.c", b"older\n")
    out = host.ok("sh -c 'echo new >made.c' {+>ma*.c}", "cat {<*.c}", "-i", "*.c=.", "ma*.c=into")
    assert out == b"given\nnew\n"


def test_trees(host):
    host.write("src/a", b"a\n")
    host.write("src/sub/b", b"b\n")
    assert host.ok("sh -c 'cat \"$1\"/a \"$1\"/sub/b' sh {<src/}") == b"a\nb\n"
    host.ok("cp -r {<src/}. {>copy/}")
    assert (host.read("copy/a"), host.read("copy/sub/b")) == (b"a\n", b"b\n")
    host.ok("cp -r {<src/}. {>copy/}", "copy/=other")
    assert host.read("other/sub/b") == b"b\n"
    host.refused("ls {<none/}", says="there is no directory 'none/' here: say where it is by none/=PATH")
    host.refused("ls {<src/}", "src/=src/a", says="'src/a' is no directory")
    host.refused("ls {<src/}", "src/=-", says="a tree is bound to a directory")
    host.refused("cat {<src}", says="'src' is a directory: mark it as a tree, {<src/}")
