"""Run a module as a program for as long as somebody holds our standard input open.

The kernel closes it when the test process ends, however it ends. Then this whole process group goes, and with it
whatever the module has started.
"""

import os
import runpy
import signal
import sys
import threading


def end_with_our_parent():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


threading.Thread(target=end_with_our_parent, daemon=True).start()
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
