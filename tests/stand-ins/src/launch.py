"""Run a module as a program for as long as somebody holds our standard input open.

The kernel closes it when the test process ends, however it ends. Then this whole process group goes, and with it
whatever the module has started.
"""

import atexit
import os
import runpy
import shutil
import signal
import sys
import tempfile
import threading


def end_with_our_parent(unpacked):
    os.read(0, 1)
    shutil.rmtree(unpacked, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def answer_one_at_a_time():
    """moto has no locks where AWS is atomic: side by side, one request sees another's half-written item."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication as Application

    answer, turn = Application.__call__, threading.Lock()

    def in_turn(self, environ, start_response):
        with turn:
            return list(answer(self, environ, start_response))

    Application.__call__ = in_turn


# What it unpacks, functions' code for example, goes with it.
unpacked = tempfile.mkdtemp(prefix="damper-stand-in-")
os.environ["TMPDIR"] = tempfile.tempdir = unpacked
atexit.register(shutil.rmtree, unpacked, ignore_errors=True)
threading.Thread(target=end_with_our_parent, args=[unpacked], daemon=True).start()
sys.argv = sys.argv[1:]
if sys.argv[0] == "moto.server":
    answer_one_at_a_time()
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
