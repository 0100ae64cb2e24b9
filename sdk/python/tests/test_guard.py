"""A scripted call sees what it sees in a component, and what a component lacks fails with the same error."""

import difflib  # noqa: F401 - loaded by the test and not by the provider
import importlib
import os
import socket
import sys
import tempfile
import threading
import time
import unittest
import zoneinfo
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from damper_sdk import Record, http
from damper_sdk._exceptions import describe
from damper_sdk._guard import Trap
from damper_sdk.failures import Other
from damper_sdk.testing import Api

# An author's module, which a component would be made of.
PROVIDER = '''
import asyncio
import hashlib
import hmac
import json
import os
import socket
import subprocess
import threading
import time
import zoneinfo
from datetime import datetime
from pathlib import Path
from time import sleep

def late_import():
    import wave

def import_of_the_tests():
    import difflib

def import_by_name():
    import importlib
    return importlib.import_module("wave")

def import_of_a_package_s_part():
    from unittest import mock

def import_again():
    import json, sys, urllib.parse
    from damper_sdk import xml
    return json.dumps([])

def never():
    import ssl

def sleeping():
    time.sleep(0.01)

def sleeping_by_name():
    sleep(0.01)

def hashing():
    hashlib.new("ripemd160")

def signing():
    hmac.new(b"k", b"m", "ripemd160")

def deriving():
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10)

def hashing_well():
    return hashlib.new("SHA256", b"a").hexdigest()[:4] + hmac.new(b"k", b"m", "sha256").hexdigest()[:4]

def thread():
    threading.Thread(target=print).start()

def program():
    subprocess.run(["true"])

def shell():
    os.system("true")

def reading():
    Path("/etc/hosts").read_text()

def listing():
    os.listdir("/")

def connecting():
    try:
        socket.create_connection(("127.0.0.1", 1))
    except Exception:
        return "caught"

def event_loop():
    asyncio.new_event_loop()

def zone():
    zoneinfo.ZoneInfo("Asia/Kathmandu")

def encoding():
    b"x".decode("cp1250")

def encodings_that_are_there():
    return [b"x".decode(name) for name in ("utf-8", "cp1252", "latin-1", "iso-8859-15", "utf-8-sig", "ascii")]

def time_of_day():
    return datetime.strptime("2026-01-02", "%Y-%m-%d"), time.localtime(0).tm_hour, dict(os.environ)
'''


class Guard(unittest.TestCase):
    provider: Any

    @classmethod
    def setUpClass(cls) -> None:
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        (Path(folder) / "provider.py").write_text(PROVIDER, "utf-8")
        sys.path.insert(0, folder)
        cls.addClassCleanup(sys.path.remove, folder)
        cls.addClassCleanup(sys.modules.pop, "provider", None)
        cls.provider = importlib.import_module("provider")

    def refused(self, name: str) -> tuple[BaseException, str]:
        """What a function of the provider raises, and the hint with it."""
        with self.assertRaises(Exception) as caught:
            Api().run(getattr(self.provider, name))
        return caught.exception, " ".join(getattr(caught.exception, "__notes__", []))

    def test_a_module_that_is_not_imported_at_the_top_is_not_there(self) -> None:
        for function, module in (
            ("late_import", "wave"),
            ("import_of_the_tests", "difflib"),
            ("import_by_name", "wave"),
            ("import_of_a_package_s_part", "unittest"),
        ):
            with self.subTest(function):
                error, hint = self.refused(function)
                self.assertEqual((type(error), str(error)), (ModuleNotFoundError, f"No module named '{module}'"))
                self.assertIn(f"import {module} at the top of the file", hint)
        error, hint = self.refused("never")
        self.assertEqual(hint, "a component has no ssl: a component has no sockets: send requests with damper_sdk.http")
        # What the module and the SDK have imported is there.
        self.assertEqual(Api().run(self.provider.import_again), "[]")

    def test_what_a_component_cannot_do_fails_with_what_to_do(self) -> None:
        for function, kind, text, hint in (
            ("sleeping", RuntimeError, "a provider never sleeps: raise Throttled or Unavailable with retry_after", ""),
            ("sleeping_by_name", RuntimeError, "a provider never sleeps", ""),
            ("hashing", ValueError, "unsupported hash type ripemd160", "hashlib's sha1, sha2"),
            ("signing", ValueError, "unsupported hash type ripemd160", "damper_sdk.sign"),
            ("deriving", AttributeError, "module 'hashlib' has no attribute 'pbkdf2_hmac'", "hashlib's sha1"),
            ("thread", RuntimeError, "can't start new thread", "http.send_all"),
            ("program", OSError, "wasi does not support processes", "no other program"),
            ("shell", AttributeError, "module 'os' has no attribute 'system'", "no other program"),
            ("reading", FileNotFoundError, "No such file", "put data into a module"),
            ("listing", FileNotFoundError, "No such file", "put data into a module"),
            ("zone", (ImportError, LookupError), "", "use datetime.timezone"),
            ("encoding", LookupError, "unknown encoding: cp1250", "damper_sdk.text.decode"),
        ):
            with self.subTest(function):
                error, told = self.refused(function)
                self.assertIsInstance(error, kind)
                self.assertIn(text, str(error))
                self.assertIn(hint, told)

    def test_the_same_hints_are_in_a_component_s_own_errors(self) -> None:
        for error, hint in (
            (ModuleNotFoundError("No module named 'ssl'", name="ssl"), "a component has no ssl: "),
            (ImportError("cannot import name 'resources' from 'importlib' (/python/x)", name="importlib"), "tzdata"),
            (ImportError("cannot import name 'dom' from 'xml' (/python/x)", name="xml"), "import xml.dom at the top"),
            (ValueError("unsupported hash type ripemd160"), "hashlib's sha1"),
            (AttributeError("module 'hashlib' has no attribute 'scrypt'"), "hashlib's sha1"),
            (AttributeError("module 'os' has no attribute 'system'"), "no other program"),
            (RuntimeError("can't start new thread"), "http.send_all"),
            (OSError(58, "wasi does not support processes."), "no other program"),
            (FileNotFoundError(44, "No such file or directory"), "put data into a module"),
        ):
            self.assertIn(hint, describe(error).partition("; ")[2], repr(error))
        self.assertEqual(describe(AttributeError("module 'os' has no attribute 'x'")).count(";"), 0)

    def test_a_socket_ends_the_call_also_where_the_provider_catches_it(self) -> None:
        for function, says in (("connecting", "damper_sdk.http"), ("event_loop", "an event loop needs sockets")):
            error, _ = self.refused(function)
            self.assertIsInstance(error, Trap)
            self.assertIn(says, str(error))

    def test_what_a_component_has_works(self) -> None:
        self.assertEqual(Api().run(self.provider.encodings_that_are_there), ["x"] * 6)
        self.assertEqual(Api().run(self.provider.hashing_well), "ca97b600")

    def test_local_time_is_utc_and_there_is_no_environment(self) -> None:
        before = os.environ.get("TZ")

        def restore() -> None:
            os.environ.pop("TZ", None)
            if before is not None:
                os.environ["TZ"] = before
            time.tzset()

        self.addCleanup(restore)
        os.environ["TZ"] = "America/New_York"
        time.tzset()
        found = Api().run(self.provider.time_of_day)
        self.assertEqual(found, (datetime(2026, 1, 2), 0, {}))
        self.assertEqual((time.localtime(0).tm_hour, os.environ["TZ"]), (19, "America/New_York"))

    def test_an_async_function_fails_as_in_a_component(self) -> None:
        async def fetch_record() -> Record:
            return Record.text("x")

        with self.assertRaisesRegex(TypeError, "fetch_record is async"):
            Api().run(fetch_record)

    def test_after_a_call_also_a_failed_one_all_is_as_before(self) -> None:
        import builtins
        import hashlib

        watched: list[Callable[[], Any]] = [
            lambda: builtins.__import__, lambda: time.sleep, lambda: hashlib.new, lambda: hashlib.pbkdf2_hmac,
            lambda: threading.Thread.start, lambda: self.provider.sleep, lambda: list(sys.meta_path),
            lambda: dict(os.environ), lambda: zoneinfo.TZPATH,
        ]  # fmt: skip
        before = [each() for each in watched]
        self.refused("late_import")
        Api().run(lambda: Api().run(lambda: None))
        self.assertEqual([each() for each in watched], before)
        with socket.socket():
            self.assertEqual(b"\x8a".decode("cp1250"), "Š")
        self.assertTrue(os.listdir("/"))

    def test_other_threads_are_not_concerned(self) -> None:
        entered, left = threading.Event(), threading.Event()
        seen: list[object] = []

        def other() -> None:
            entered.wait()
            seen.append(os.listdir("/"))
            left.set()

        thread = threading.Thread(target=other)
        thread.start()
        Api().run(lambda: (entered.set(), left.wait(10)))
        thread.join()
        self.assertTrue(seen)

    def test_a_debugger_may_see_all_of_python(self) -> None:
        self.assertTrue(Api(guarded=False).run(lambda: os.listdir("/")))


class Credentials(unittest.TestCase):
    def setUp(self) -> None:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.manifest = Path(folder) / "provider.toml"

    def asked(self, name: str) -> int:
        api = Api(manifest=self.manifest)
        api.get("https://api.example.org/").credential(name).answers(200)
        return api.run(lambda: http.get("https://api.example.org/").credential(name).send().status)

    def test_an_unknown_one_is_refused_as_by_the_host_with_the_known_ones(self) -> None:
        self.manifest.write_text(
            '[credentials.key]\nkind = "header"\n[credentials.signing]\nkind = "hmac"\n'
            '[credentials.token]\nkind = "bearer"\n'
        )
        self.assertEqual(self.asked("key"), 200)
        for unknown in ("kee", "signing"):
            with self.assertRaises(Other) as caught:
                self.asked(unknown)
            self.assertEqual(
                (caught.exception.kind, caught.exception.message),
                (
                    "invalid-request",
                    f'not a valid request: the manifest has no credential "{unknown}" that can be sent; '
                    "those that can are key, token",
                ),
            )
        self.manifest.write_text('name = "x"\n')
        with self.assertRaisesRegex(Other, r"it has none that can: add \[credentials.NAME\] to provider.toml"):
            self.asked("key")

    def test_the_manifest_is_that_of_the_working_folder(self) -> None:
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.manifest.parent)
        self.manifest.write_text('[credentials.key]\nkind = "bearer"\n')
        with self.assertRaisesRegex(Other, "those that can are key"):
            Api().run(lambda: http.get("https://api.example.org/").credential("kee").send())

    def test_a_manifest_that_cannot_be_read_is_named(self) -> None:
        self.manifest.write_text("name = ")
        with self.assertRaisesRegex(ValueError, "provider.toml: "):
            Api(manifest=self.manifest)
