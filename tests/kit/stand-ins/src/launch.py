"""Run a module as a program for as long as somebody holds our standard input open.

The kernel closes it when the test process ends, however it ends. Then this whole process group goes, and with it
whatever the module has started.
"""

import atexit
import json
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


def partition_keys(value):
    """The partition keys that a request to DynamoDB names, in a table whose key is `pk`."""
    if isinstance(value, list):
        return [key for element in value for key in partition_keys(element)]
    if not isinstance(value, dict):
        return []
    keys = [value[name]["S"] for name in ("pk", ":pk") if isinstance(value.get(name), dict) and "S" in value[name]]
    return keys + [key for element in value.values() for key in partition_keys(element)]


def tell_roles_more():
    """ministack evaluates policies without two keys of AWS: dynamodb:LeadingKeys and s3:if-none-match."""
    from ministack.core import iam_actions

    told_of_items, told_of_object = iam_actions.dynamodb_service_context, iam_actions._s3_object_context

    def of_items(body):
        keys = partition_keys(json.loads(body or b"{}"))
        return {**told_of_items(body), **({"dynamodb:LeadingKeys": keys} if keys else {})}

    def of_object(action, query, path, headers):
        told, condition = told_of_object(action, query, path, headers), headers.get("if-none-match")
        return {**told, **({"s3:if-none-match": condition} if action == "s3:PutObject" and condition else {})}

    iam_actions.dynamodb_service_context, iam_actions._s3_object_context = of_items, of_object


# Files that it unpacks, functions' code for example, are deleted with it.
unpacked = tempfile.mkdtemp(prefix="damper-stand-in-")
os.environ["TMPDIR"] = tempfile.tempdir = unpacked
atexit.register(shutil.rmtree, unpacked, ignore_errors=True)
threading.Thread(target=end_with_our_parent, args=[unpacked], daemon=True).start()
sys.argv = sys.argv[1:]
if sys.argv[0] == "moto.server":
    answer_one_at_a_time()
else:
    tell_roles_more()
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
