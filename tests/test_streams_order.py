"""No order of opening, no size and no graph hangs: the deadlocks that people meet with named pipes, one by one.

What is said of the others was seen with these very programs: *shell* is mkfifo and `&`; *pipexec* ties descriptors of programs by
kernel pipes. It can give /dev/fd/N to a program that wants a name, which is open already: so no order of opening hangs it, and an
input that is opened again gets what is left. *dgsh-tee*, which copies between descriptors through memory or a temporary file, is
not in Debian: what is said of it is reasoned. docs/streams.md tells all this for readers, with commands.
"""
import pytest
from stream_host import host  # noqa: F401 (a fixture)

MB = 1_000_000


# -------------------------------------------------------------------------------------------------- orders of opening


@pytest.mark.parametrize("first, second", [
    ("write {>a|} write {>b|} put 0 100 put 1 100", "read {<b|} read {<a|} get 0 100 get 1 100 end 0 end 1"),
    ("write {>a|} read {<b|} put 0 9 close 0 get 1 9 end 1", "write {>b|} read {<a|} put 0 9 close 0 get 1 9 end 1"),
    ("read {<b|} write {>a|} get 0 9 put 1 9", "write {>b|} read {<a|} put 0 9 get 1 9 end 1"),
    ("write {>a|} put 0 9 close 0 write {>b|} put 1 9", "read {<b|} get 0 9 end 0 read {<a|} get 1 9 end 1"),
], ids=["writers", "each-both", "each-reads", "one-after-the-other"])
@pytest.mark.parametrize("turned", [False, True])
def test_crossed_opens(host, first, second, turned):
    """Shell: each program waits in open() for the other, for ever; only "each-reads" goes well."""
    programs = (second, first) if turned else (first, second)
    host.users(*programs)


@pytest.mark.parametrize("size", [MB, 100 * MB])
def test_read_in_the_opposite_order(host, size):
    """Both are held open, and the reader wants all of the second first. Shell, pipexec: both sides wait once the pipe of
    the first is full (64 KiB). dgsh-tee: goes on up to 256 MB, where one with -I was put on each path by hand."""
    host.users(f"write {{>a|}} write {{>b|}} put 0 {size} put 1 {size}",
               f"read {{<a|}} read {{<b|}} get 1 {size} get 0 {size} end 0 end 1")


def test_a_window_grows_only_where_all_stands_still(host):
    crossed = host.streams(host.user(f"write {{>a|}} write {{>b|}} put 0 {5 * MB} put 1 {MB}"),
                           host.user(f"read {{<b|}} read {{<a|}} get 0 {MB} get 1 {5 * MB} end 0 end 1"))
    assert crossed["a"]["window_growths"] > 0 and crossed["a"]["window_bytes"] >= 2 * MB
    assert crossed["b"]["window_growths"] == 0
    straight = host.streams(host.user(f"write {{>a|}} put 0 {50 * MB}"), host.user(f"read {{<a|}} get 0 {50 * MB} end 0"))
    assert (straight["a"]["window_growths"], straight["a"]["bytes_in"]) == (0, 50 * MB)


@pytest.mark.parametrize("words, size", [([], 256 << 10), (["--memory", "64k"], 64 << 10), (["--memory", "100"], 4 << 10)])
def test_a_window_is_no_larger_than_the_memory(host, words, size):
    streams = host.streams(*words, host.user("write {>a|} put 0 1000000"), host.user("read {<a|} get 0 1000000 end 0"))
    assert (streams["a"]["window_bytes"], streams["a"]["bytes_out"]) == (size, 1000000)


def test_the_limit_of_growth_names_the_ring(host):
    host.fails("--memory", "4M",
               host.user(f"write {{>a|}} write {{>b|}} put 0 {50 * MB} put 1 {MB}"),
               host.user(f"read {{<b|}} read {{<a|}} get 0 {MB} get 1 {50 * MB}"),
               says=["the call's memory limit", "'a' is full", "waits to write 'a'", "waits to read 'b'", "{>a}"])


@pytest.mark.parametrize("flag", ["try-read", "read"])
def test_an_open_that_does_not_wait(host, flag):
    """O_NONBLOCK. Shell: the reader may see an empty file where the writer has not come yet, the writer gets ENXIO."""
    host.users("write {>a|} put 0 300000", f"{flag} {{<a|}} get 0 300000 end 0")
    host.users("try-write {>a|} put 0 300000", f"{flag} {{<a|}} get 0 300000 end 0")


# ---------------------------------------------------------------------------------------------------------- sizes


def test_many_writes_of_one_byte(host):
    """A pipe is full after 16 of them where they are not merged (O_DIRECT); nothing may count on its bytes. Shell: goes well."""
    host.users("write {>a|} drip 0 100000", "read {<a|} get 0 100000 end 0")


def test_one_byte_more_than_a_pipe_holds(host):
    """Shell, pipexec: hangs at 65,537 bytes, though 65,536 go well."""
    for size in (65536, 65537, (1 << 20) + 1):
        host.users(f"write {{>a|}} write {{>b|}} put 0 {size} put 1 1", f"read {{<a|}} read {{<b|}} get 1 1 get 0 {size} end 0")


# ---------------------------------------------------------------------------------------------------------- graphs


def test_diamond(host):
    """Two ways from one program to another, read one after the other. Shell, pipexec: hang once one way is full."""
    host.ok(host.user(f"write {{>a|}} write {{>b|}} put 0 {3 * MB} put 1 {3 * MB}"), "cat <{a|} >{c|}", "cat <{b|} >{d|}",
            host.user(f"read {{<c|}} read {{<d|}} get 1 {3 * MB} get 0 {3 * MB} end 0 end 1"))


def test_fan_out_gives_each_reader_everything(host):
    """Shell: readers of one pipe take the bytes from one another. pipexec: refuses it. dgsh-tee: copies, too."""
    reader = f"read {{<a|}} get 0 {5 * MB} end 0"
    streams = host.streams(host.user(f"write {{>a|}} put 0 {5 * MB}"), *[host.user(reader)] * 3)
    assert (streams["a"]["reader_opens"], streams["a"]["bytes_out"]) == (3, 15 * MB)


def test_fan_out_at_different_speeds(host):
    """One reader begins only when it has got something that the other sends after it had all."""
    host.users(f"write {{>a|}} put 0 {5 * MB}", f"read {{<a|}} write {{>go|}} get 0 {5 * MB} end 0 put 1 1",
               f"read {{<go|}} get 0 1 read {{<a|}} get 1 {5 * MB} end 1")


def test_fan_in(host):
    writer = "write {{>{}|}} put 0 1000000"
    host.users(*[writer.format(name) for name in "abc"],
               "read {<c|} read {<b|} read {<a|} get 2 1000000 end 2 get 1 1000000 get 0 1000000 end 0 end 1")


def test_cycle_with_feedback(host):
    """Shell, pipexec: goes well, so long as what is on its way fits the pipes. dgsh: takes no cycle."""
    host.users("write {>a|} read {<b|} put 0 1 echo 1 0 1000 close 0 get 1 1 end 1",
               "read {<a|} write {>b|} echo 0 1 1000 get 0 1 put 1 1")


@pytest.mark.parametrize("size", [300_000, 100 * MB])
def test_bar_and_stream_between_the_same_programs(host, size):
    """The bar is on a ring and so passed on by spile as well. Shell, pipexec: hang once the one that is not read is full."""
    writer = f"write {{>s|}} put 0 {size} write /dev/stdout put 1 {size}"
    reader = f"read {{<s|}} read /dev/stdin get 1 {size} get 0 {size} end 0 end 1"
    host.ok(f"{host.user(writer)} | {host.user(reader)}")


def test_file_and_stream_between_the_same_programs_are_refused(host):
    """The reader can't start before the file is complete, and the writer not end before its stream is read."""
    host.refused("A {>f} {>s|}", "B {<f} {<s|}", says="'f' can't be complete before this program starts")


def test_two_writers_of_a_stream_are_refused(host):
    """With a cure that a stream can take: it is not changed in place."""
    ran = host.refused("A {>x|}", "B {>x|}", says="give one of the two files another name")
    assert b"<>" not in ran.err, ran


@pytest.mark.parametrize("count", [64, 200])
def test_many_streams(host, count):
    names = range(count)
    writer = " ".join(f"write {{>s{i}|}}" for i in names) + " " + " ".join(f"put {i} 70000" for i in names)
    reader = " ".join(f"read {{<s{count - 1 - i}|}}" for i in names) + " " + " ".join(f"get {i} 70000 end {i}" for i in names)
    host.users(writer, reader)


def test_a_chain_of_streams(host):
    """Each passes its data on only when it has all of it: what lies between must be no more than the windows."""
    links = [f"read {{<s{i}|}} write {{>s{i + 1}|}} get 0 {MB} put 1 {MB} end 0" for i in range(40)]
    host.users(f"write {{>s0|}} put 0 {MB}", *links, f"read {{<s40|}} get 0 {MB} end 0")
