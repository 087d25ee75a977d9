"""What stands still for good is told, and nothing else ever is.

Who must not be told ends by the call's deadline here, long after many looks: 124, where a verdict would be 123. In plain shell, and
with pipexec, what is told here waits for ever; dgsh refuses a cycle.
"""
import os
import pty
import tty

import pytest
from stream_host import host  # noqa: F401 (a fixture)

A_WHILE = ["--timeout", "600ms"]
RING = ["read {<y|} write {>x|} end 0", "read {<x|} write {>y|} end 0"]


def as_nobody():
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


# ------------------------------------------------------------------------------------------------------ told


def test_each_waits_for_the_other(host):
    host.fails(*map(host.user, RING), says=["the call stands still, and nothing can end that",
                                           "(program 1) waits to read 'y'", "(program 2) waits to read 'x'"])


def test_as_an_ordinary_user(host):
    host.directory.chmod(0o777)
    try:
        ran = host.run(*map(host.user, RING), preexec_fn=as_nobody)
    except PermissionError:
        pytest.skip("the build directory can't be reached by another user than root")
    assert ran.status == 123 and b"waits to read 'y'" in ran.err, ran


@pytest.mark.parametrize("reader", [
    "sh -c 'exec 3>$2; cat $1; true' sh {<x|} {>y|}",
    "sh -c 'exec 3>$2; while read line; do :; done <$1' sh {<x|} {>y|}",
    "python3 -c 'import sys; y = open(sys.argv[2], \"w\"); open(sys.argv[1]).read()' {<x|} {>y|}",
    "python3 -c 'import sys, select; y = open(sys.argv[2], \"w\"); select.select([open(sys.argv[1])], [], [])' {<x|} {>y|}",
    "python3 -c 'import sys, selectors; y = open(sys.argv[2], \"w\"); s = selectors.EpollSelector(); "
    "s.register(open(sys.argv[1]), 1); s.select()' {<x|} {>y|}",
    "python3 -c 'import sys, threading; y = open(sys.argv[2], \"w\"); t = threading.Thread(target=lambda: "
    "open(sys.argv[1]).read()); t.start(); t.join()' {<x|} {>y|}",
], ids=["sh-waits-for-child", "sh-reads", "python", "select", "epoll", "threads"])
def test_programs_that_wait_in_many_ways(host, reader):
    host.fails(host.user(RING[0]), reader, says=["the call stands still", "waits to read 'x'", "waits to read 'y'"])


def test_a_bystander_is_told_of_too(host):
    host.fails(host.user("read {<y|} write {>x|} write {>z|} end 0"), host.user(RING[1]), "cat {<z|}",
               says=["'cat' waits to read 'z'"])


def test_short_of_proof_the_deadline_says_it(host):
    ran = host.run(*A_WHILE, *map(host.user, RING), "sh -c 'sleep 100; cat $1' sh {<x|}")
    assert ran.status == 124 and b"it seems stuck: " in ran.err and b"waits to read 'y'" in ran.err, ran


# ------------------------------------------------------------------------------------------------------ never told


def python(code):
    return f"python3 -c 'import os, select, signal, socket, sys, threading, time; x = open(sys.argv[1], \"w\"); {code}' {{>x|}}"


@pytest.mark.parametrize("writer", [
    "sh -c 'exec 3>$1; sleep 100' sh {>x|}",
    "PIPE_USER write {>x|} spin",
    "PIPE_USER write {>x|} stop",
    "PIPE_USER write {>x|} pause",
    python("socket.create_server((\"127.0.0.1\", 0)).accept()"),
    python("socket.create_server(\"socket\", family=socket.AF_UNIX).accept()"),
    python("threading.Thread(target=lambda: time.sleep(100)).start()"),
    python("select.select([os.pipe()[0]], [], [], 100)"),
    python("signal.sigwait([signal.SIGUSR1])"),
    python("signal.signal(signal.SIGALRM, print); signal.setitimer(signal.ITIMER_REAL, 100); os.read(os.pipe()[0], 1)"),
    "sh -c 'exec 3>$1; read line <TERMINAL' sh {>x|}",
    "sh -c 'exec 3>$1; read line <FIFO' sh {>x|}",
], ids=["sleeps", "computes", "stopped", "pauses", "tcp", "unix", "thread-sleeps", "time-out", "signal", "timer", "terminal",
        "foreign-fifo"])
def test_programs_that_may_go_on(host, writer):
    master, slave = pty.openpty()
    tty.setraw(slave)
    writer = writer.replace("PIPE_USER", str(host.pipe_user)).replace("TERMINAL", os.ttyname(slave))
    writer = writer.replace("FIFO", str(host.fifo("foreign")))
    try:
        ran = host.run(*A_WHILE, writer, "cat {<x|}")
    finally:
        os.close(master)
        os.close(slave)
    assert (ran.status, b"did not end within" in ran.err) == (124, True), ran


def test_the_caller_may_go_on(host):
    """What it gives and what it takes is not for the cell to say."""
    reader, writer = os.pipe()
    ran = host.run(*A_WHILE, "cat {<in|} >{y|}", "cat {<y|}", "in=-", stdin=reader)
    assert ran.status == 124, ran
    os.close(reader)
    os.close(writer)
    process = host.start(*A_WHILE, "yes >{x|}", "x=-")
    assert process.wait(60) == 124
    process.stdout.close()


def test_a_timer_sets_it_going_again(host):
    code = "signal.signal(signal.SIGALRM, lambda *_: os._exit(0)); signal.setitimer(signal.ITIMER_REAL, 0.4)"
    host.ok(f"python3 -c 'import os, signal, sys; {code}; x = open(sys.argv[2], \"w\"); open(sys.argv[1]).read()' {{<y|}} {{>x|}}",
            host.user(RING[1]))


@pytest.mark.parametrize("words", [[], ["--memory", "1M"]], ids=["free", "limited"])
def test_a_sleeper_sets_it_going_again(host, words):
    """The window is full while it sleeps: that is no standstill, and little reason to take memory."""
    streams = host.streams(*words, host.user("write {>x|} put 0 50000000"),
                           "sh -c 'sleep 0.5; cat $1 >/dev/null' sh {<x|}")
    assert streams["x"]["window_growths"] <= 4


def test_stopped_and_continued(host):
    script = ("sh -c '\"$0\" write $1 put 0 10 stop put 0 300000 & until grep -q State:.T /proc/$!/status; do :; done; "
              "seq 3000000 >/dev/null; kill -CONT $!; wait $!' ")
    host.ok(script + f"{host.pipe_user} {{>x|}}", host.user("read {<x|} get 0 300010 end 0"))
