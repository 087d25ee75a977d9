"""Much of it, large ones, and names that look like something else."""
from run_host import host  # noqa: F401 (a fixture)


def test_large_output_of_a_failed_call(host):
    """What was mapped is unmapped once, and where it was."""
    done = host.run("sh -c 'head -c 8M /dev/zero; exit 3' >{out}")
    assert done.status == 3 and host.names() == []


def test_many_programs(host):
    """Nobody counts all programs again for each that ends."""
    host.write("programs", b"true\n" * 600)
    assert host.run("-f", "programs").status == 0


def test_apparent_size_counts(host):
    """Holes need no memory, but whoever gets the file writes them."""
    done = host.run("--memory", "1M", "truncate -s 1G {>out}")
    assert done.status == 123 and b"memory limit" in done.err and host.names() == []


def test_names_that_look_like_patterns(host):
    host.write("photo[1].jpg", b"1")
    host.write("b.jpg", b"2")
    host.write("tree/x?[y]", b"3")
    assert host.run("ls {<*.jpg}").out.split() == [b"b.jpg", b"photo[1].jpg"]
    assert host.run("ls {<tree/}").out.split() == [b"x?[y]"]
