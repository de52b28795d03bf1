#!/usr/bin/env python3
"""Keeps the directory COPY in step with MOUNT: a pwfs mount, or a directory in one.

It holds three things apart:

  entries    what there is, as `pwfs manifest` and `pwfs changes` tell it (docs/pipelines.md): a row there is a line here;
  copies     what lies in COPY, written down before it is moved, so that a run killed anywhere goes on from there;
  the mount  where the bytes are read. Nothing that it answers or refuses ever removes a copy.

Whenever everything was told, copies are brought to where their entries are (`arrange`), and what is missing, or of another
content, is copied (`copy_some`). Take `Consumer.did` for what your pipeline does with each file.
"""

import argparse
import collections
import concurrent.futures
import ctypes
import errno
import fcntl
import json
import os
import queue
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

ROOM = ".pwfs-consumer"  # in COPY: the state, and what is on its way
ZERO = "00000000-0000-0000-0000-000000000000"  # the folder of a datasource's root folders
KEPT = ("denied", "unknown")  # reasons that do not say that it was deleted
AWAY = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EKEYEXPIRED, errno.ENOTCONN)  # all others would fail, too
TRY_AGAIN = 75

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS entries (
  folder TEXT, guid TEXT, is_folder INTEGER, name TEXT, tag TEXT, refused INTEGER, PRIMARY KEY (folder, guid));
CREATE INDEX IF NOT EXISTS entries_by_guid ON entries (guid);
-- step: 'here' at path; 'leaving' came_from for ROOM/staged; 'coming' from there to path. Without a path it is removed.
CREATE TABLE IF NOT EXISTS copies (
  id INTEGER PRIMARY KEY, folder TEXT, guid TEXT, tag TEXT, path TEXT, step TEXT, came_from TEXT, staged TEXT,
  withheld TEXT, UNIQUE (folder, guid));
CREATE TABLE IF NOT EXISTS dirs (path TEXT PRIMARY KEY);
-- Where everything should be, made anew by `want`.
CREATE TEMP TABLE wanted_dirs (guid TEXT, path TEXT PRIMARY KEY, refused INTEGER);
CREATE TEMP TABLE wanted (
  folder TEXT, guid TEXT, tag TEXT, refused INTEGER, path TEXT UNIQUE, PRIMARY KEY (folder, guid));
CREATE INDEX wanted_by_guid ON wanted (guid);
"""
OF_THE_COPY = "folder = copies.folder AND guid = copies.guid"
NOT_WANTED = f"NOT EXISTS (SELECT 1 FROM wanted WHERE {OF_THE_COPY})"
MISSING = "FROM wanted w LEFT JOIN copies c USING (folder, guid) WHERE (c.id IS NULL OR c.tag IS NOT w.tag)"


class Anew(Exception):
    """The changes do not follow from what is here: a new manifest is needed."""


class NotNow(Exception):
    """A command failed with this exit status; later it may not."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


LIBC = ctypes.CDLL(None)


def end_with_parent():
    """Of two that write the same manifest, or ask for the same, one would be left over from a run that was killed."""
    LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def fits(name, at_top):
    """Whether a name is one of a directory's and nothing else. A mount shows no other; a copy must not depend on it."""
    return bool(name) and name not in (".", "..") and "/" not in name and "\0" not in name and not (at_top and name == ROOM)


class Consumer:
    def __init__(self, options):
        self.options = options
        self.mount, self.copy = os.path.abspath(options.mount), os.path.abspath(options.copy)
        self.stage = os.path.join(self.copy, ROOM, "staged")
        os.makedirs(self.stage, exist_ok=True)
        self.lock = open(os.path.join(self.copy, ROOM, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)  # two at once would only undo each other's work
        self.db = sqlite3.connect(options.state or os.path.join(self.copy, ROOM, "state.sqlite"))
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.executescript(SCHEMA)
        self.db.create_function("fits", 2, fits)
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        self.done, self.reported = collections.Counter(), None
        self.arranged = False  # whether `wanted` is what the entries say
        self.next_path = None  # how far this round of copying is; None after it
        self.later = {}  # (folder, guid, tag, path) that failed: (how often, when to try again)
        self.away_until, self.away_for = 0.0, 0.5

    def did(self, what, guid, tag, path):
        """Your own work goes here: `what` is copied, renamed or removed, and `path` where the file is in COPY, or was."""
        self.done[what] += 1
        print(what, guid, tag, json.dumps(path), flush=True)

    def rows(self, sql, *values):
        return self.db.execute(sql, values).fetchall()

    def fact(self, name):
        """Something remembered: `cursor`, `datasource`, `path` (of MOUNT in the mount), `scope` (its topmost folders)."""
        return next((value for (value,) in self.rows("SELECT value FROM facts WHERE name = ?", name)), None)

    def remember(self, name, value):
        self.db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # What there is.

    def put(self, folder, guid, is_folder, name, tag, refused=False):
        sql = """INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT (folder, guid) DO UPDATE SET name = excluded.name, tag = excluded.tag"""
        self.rows(sql, folder, guid, is_folder, name, tag, refused)

    def knows(self, guid):
        return bool(self.rows("SELECT 1 FROM entries WHERE guid = ? LIMIT 1", guid))

    def note_refused(self, refused, *place):
        for table in ("entries", "wanted"):
            self.rows(f"UPDATE {table} SET refused = ? WHERE folder = ? AND guid = ?", refused, *place)

    def take_out(self, folder, guid, reason):
        """Takes out an entry; of a folder that is nowhere else, all that is below it."""
        self.rows("DELETE FROM entries WHERE folder = ? AND guid = ?", folder, guid)
        withheld = reason if reason in KEPT else None
        self.rows("UPDATE copies SET withheld = ? WHERE folder = ? AND guid = ?", withheld, folder, guid)
        if not self.knows(guid):
            self.take_out_below(guid, reason)

    def take_out_below(self, folder, reason):
        for (guid,) in self.rows("SELECT guid FROM entries WHERE folder = ?", folder):
            self.take_out(folder, guid, reason)

    def apply(self, row):
        """Enters a row of `pwfs changes`."""
        change, guid, folder = row["change"], row["guid"], row.get("folder_guid", "")
        old_folder = row.get("old_folder_guid", "") if change == "move" else folder
        is_folder = row["kind"] == "folder"
        if change == "rights":
            self.note_refused(not row["readable"], folder, guid)
        elif is_folder and guid in json.loads(self.fact("scope")):
            # A topmost folder stays chosen, and what is in it comes back with rows of its own.
            if change == "gone" and row["reason"] != "moved":
                self.take_out_below(guid, row["reason"])
        elif change == "gone" or row.get("left"):
            for place in {folder, old_folder}:
                self.take_out(place, guid, row.get("reason", "left"))
        else:
            old_guid = row.get("old_guid", guid)
            if old_guid != guid:
                # What is here stands in for the new version until that is copied.
                stands_in = "UPDATE OR IGNORE copies SET guid = ?, tag = '' WHERE folder = ? AND guid = ?"
                self.rows(stands_in, guid, folder, old_guid)
            if is_folder and not self.knows(guid):
                self.take_out_below(guid, "forgotten")  # it comes in from elsewhere, and all in it is told again
            refused = self.rows("SELECT refused FROM entries WHERE guid = ? AND folder = ?", old_guid, old_folder)
            refused = row.get("readable") is False or any(was for (was,) in refused)
            self.put(folder, guid, is_folder, row.get("name"), row.get("tag"), refused)
            if (old_folder, old_guid) != (folder, guid):
                self.take_out(old_folder, old_guid, "moved")

    def take_manifest(self):
        """Begins, or begins anew: the entries are what the manifest says. What becomes of copies, `arrange` sees."""
        spool = os.path.join(self.copy, ROOM, "manifest.ndjson")
        self.run("manifest", self.mount, "--folders", "--allow-denied", "--output", spool, "--resume")
        with open(spool, encoding="utf-8") as rows, self.db:
            first = json.loads(next(rows))
            if first["format"] != 1 or self.fact("datasource") not in (None, first["datasource"]):
                sys.exit(f"{self.copy} is a copy of {self.fact('datasource')}, and not of {first['datasource']}")
            self.db.execute("DELETE FROM entries")
            last = first
            for last in map(json.loads, rows):
                if last["row"] in ("folder", "document"):
                    # What is not shown in the mount has no path there.
                    name = last["path"].rsplit("/", 1)[-1] if "path" in last else None
                    tag = last.get("tag") if name else None
                    place = (last.get("folder_guid", ""), last["guid"])
                    self.put(*place, last["row"] == "folder", name, tag, not last.get("readable", True))
            if last.get("complete") is not True:
                raise NotNow(TRY_AGAIN)
            # Nobody says why these are gone.
            not_told = f"NOT EXISTS (SELECT 1 FROM entries WHERE {OF_THE_COPY})"
            self.db.execute(f"UPDATE copies SET withheld = 'unknown' WHERE withheld IS NULL AND {not_told}")
            for name in ("datasource", "cursor", "path"):
                self.remember(name, first.get(name, ""))
            self.remember("scope", json.dumps(sorted(first["scope"])))
        os.unlink(spool)

    # What lies in COPY.

    def at(self, path):
        return os.path.join(self.copy, path)

    def staged(self, name):
        return os.path.join(self.stage, name)

    def want(self):
        """Where everything should be: paths are made of the names from the top down."""
        tops = ["", ZERO] if self.fact("path") == "" else json.loads(self.fact("scope"))
        self.db.execute("DELETE FROM wanted_dirs")
        self.db.execute("DELETE FROM wanted")
        # The length ends what would go round in a circle.
        self.db.execute(
            f"""WITH RECURSIVE below (guid, path, refused) AS (VALUES {', '.join(["(?, '', 0)"] * len(tops))} UNION
                SELECT e.guid, below.path || e.name || '/', below.refused OR e.refused
                FROM below JOIN entries e ON e.folder = below.guid
                WHERE e.is_folder AND fits(e.name, below.path = '') AND length(below.path) < 4000)
                INSERT OR IGNORE INTO wanted_dirs SELECT guid, path, refused FROM below ORDER BY path, guid""",
            tops,
        )
        self.db.execute(
            """INSERT OR IGNORE INTO wanted SELECT e.folder, e.guid, e.tag, e.refused OR d.refused, d.path || e.name
               FROM wanted_dirs d JOIN entries e ON e.folder = d.guid
               WHERE NOT e.is_folder AND e.tag IS NOT NULL AND fits(e.name, d.path = '') ORDER BY d.path, e.guid"""
        )

    def arrange(self):
        """Brings each copy to where its entry is, and removes what is gone, whatever swapped names meanwhile."""
        self.put_aside()
        self.place()  # what a killed run left on its way
        with self.db:
            self.want()
            # The document went to another folder, and its copy goes along.
            for place in self.rows(
                f"""SELECT w.folder, copies.id FROM copies JOIN wanted w USING (guid) WHERE {NOT_WANTED}
                    AND NOT EXISTS (SELECT 1 FROM copies o WHERE o.folder = w.folder AND o.guid = w.guid)"""
            ):
                self.rows("UPDATE OR IGNORE copies SET folder = ? WHERE id = ?", *place)
            # What is seen is not withheld, nor is what is seen elsewhere; and what has no place here is not gone.
            self.rows("UPDATE copies SET withheld = NULL WHERE withheld IS NOT NULL AND guid IN (SELECT guid FROM wanted)")
            self.rows(
                f"""UPDATE copies SET withheld = 'unplaced' WHERE withheld IS NULL AND {NOT_WANTED}
                    AND EXISTS (SELECT 1 FROM entries WHERE {OF_THE_COPY} AND tag IS NOT NULL)"""
            )
            # In a folder that is refused it is not seen any more, and not gone either.
            self.rows(
                """UPDATE copies SET withheld = 'denied'
                   WHERE folder IN (SELECT guid FROM wanted_dirs WHERE refused) AND withheld IS NULL"""
            )
            moves = self.rows(
                """SELECT c.id, c.guid, c.tag, w.path FROM copies c JOIN wanted w USING (folder, guid)
                   WHERE c.path IS NOT w.path"""
            )
            which = "1" if self.options.delete_unknown else "withheld IS NULL"
            gone = self.rows(f"SELECT id, guid, tag, path FROM copies WHERE {NOT_WANTED} AND {which}")
            aside = self.in_the_way()
            for id, path in [(id, path) for id, _, _, path in moves] + [(id, None) for id, *_ in gone] + aside:
                leave = "UPDATE copies SET came_from = path, staged = 'copy-' || id, step = 'leaving'"
                self.rows(leave + " WHERE id = ? AND step = 'here'", id)
                self.rows("UPDATE copies SET path = ? WHERE id = ?", path, id)
        self.put_aside()
        self.arrange_dirs()
        self.place()
        for what, rows in (("renamed", moves), ("removed", gone)):
            for _, guid, tag, path in rows:
                self.did(what, guid, tag, path)
        self.arranged, self.next_path = True, ""
        self.later = {job: tried for job, tried in self.later.items() if tried[1] > time.monotonic() - 600}

    def arrange_dirs(self):
        there = "SELECT path FROM dirs"
        wanted = "SELECT path FROM wanted_dirs WHERE path != ''"
        for change, sql, paths in (
            (os.rmdir, "DELETE FROM dirs WHERE path = ?", self.rows(f"{there} EXCEPT {wanted} ORDER BY path DESC")),
            (os.mkdir, "INSERT INTO dirs VALUES (?)", self.rows(f"{wanted} EXCEPT {there} ORDER BY path")),
        ):
            for (path,) in paths:
                try:
                    change(self.at(path))
                except (FileNotFoundError, FileExistsError):
                    pass  # done already
                except OSError:
                    continue  # something withheld is in it
                self.rows(sql, path)

    def in_the_way(self):
        """Withheld copies where something else is to be: they make room."""
        aside = []
        for id, path in self.rows(f"SELECT id, path FROM copies WHERE withheld IS NOT NULL AND {NOT_WANTED}"):
            parts = path.split("/")
            above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
            marks = ", ".join("?" * len(above))
            taken = f"SELECT 1 FROM wanted WHERE path IN ({marks}) UNION SELECT 1 FROM wanted_dirs WHERE path = ?"
            if self.rows(taken, *above, path + "/"):
                aside.append((id, f"{ROOM}/withheld/{id}/{parts[-1]}"))
        return aside

    def put_aside(self):
        """Takes every copy that leaves its place out of the way of those that come there."""
        with self.db:
            for id, came_from, staged in self.rows("SELECT id, came_from, staged FROM copies WHERE step = 'leaving'"):
                try:
                    os.rename(self.at(came_from), self.staged(staged))
                except (FileNotFoundError, NotADirectoryError):
                    if not os.path.lexists(self.staged(staged)):  # somebody else took it away
                        self.rows("DELETE FROM copies WHERE id = ?", id)
            self.rows("UPDATE copies SET step = 'coming' WHERE step = 'leaving'")

    def place(self):
        """Puts what is staged where it belongs. What does not go there now is tried again the next time."""
        with self.db:
            for id, path, staged in self.rows("SELECT id, path, staged FROM copies WHERE step = 'coming'"):
                try:
                    if path is None:
                        self.rows("DELETE FROM copies WHERE id = ?", id)  # `staged` is unlinked below
                    elif os.path.lexists(self.staged(staged)):  # else it is there already, and the run was killed
                        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
                        os.replace(self.staged(staged), self.at(path))
                    self.rows("UPDATE copies SET step = 'here', staged = NULL WHERE id = ?", id)
                except OSError as error:
                    print(f"{path}: {error.strerror}", file=sys.stderr)
        kept = {name for (name,) in self.rows("SELECT staged FROM copies WHERE step != 'here'")}
        for name in set(os.listdir(self.stage)) - kept:
            os.unlink(self.staged(name))

    def fetch(self, job):
        """Reads a document into the room: its name there, or the error. The mount is asked which document it opened."""
        _, guid, tag, path = job
        name = secrets.token_hex(8)
        try:
            with open(os.open(os.path.join(self.mount, path), os.O_RDONLY | os.O_NOFOLLOW), "rb") as source:
                for attribute, expected in (("guid", guid), ("tag", tag)):
                    if os.getxattr(source.fileno(), f"user.projectwise.{attribute}").decode() != expected:
                        return OSError(errno.ESTALE, "it is another one by now")
                with open(self.staged(name), "xb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                    target.flush()
                    os.fsync(target.fileno())
                    told = os.fstat(source.fileno())
                    if target.tell() != told.st_size:
                        return OSError(errno.EIO, "it is of another length")
                os.utime(self.staged(name), ns=(told.st_atime_ns, told.st_mtime_ns))
        except OSError as error:
            return error
        return name

    def copy_some(self):
        """Copies the next documents that are missing."""
        now = time.monotonic()
        if not self.arranged or now < self.away_until:
            return
        page = f"SELECT w.folder, w.guid, w.tag, w.path {MISSING} AND w.path > ? ORDER BY w.path LIMIT 64"
        found = self.rows(page, self.next_path or "")
        jobs = [job for job in found if self.later.get(job, (0, 0))[1] <= now]
        self.next_path = found[-1][3] if found else None
        results = list(self.pool.map(self.fetch, jobs))
        copied, away = [], 0
        with self.db:
            for job, result in zip(jobs, results):
                if isinstance(result, OSError):
                    tries = self.later.get(job, (0, 0))[0]
                    self.later[job] = (tries + 1, time.monotonic() + min(0.5 * 2**tries, 300))
                    away += result.errno in AWAY
                    if result.errno == errno.EACCES:
                        self.note_refused(True, *job[:2])  # the server's own word, so it is not pending
                    print(f"{job[3]}: {result.strerror}", file=sys.stderr)
                    continue
                self.later.pop(job, None)
                self.note_refused(False, *job[:2])
                self.rows(
                    """INSERT INTO copies (folder, guid, tag, path, step, staged) VALUES (?, ?, ?, ?, 'coming', ?)
                       ON CONFLICT (folder, guid) DO UPDATE
                       SET tag = excluded.tag, step = 'coming', staged = excluded.staged""",
                    *job,
                    result,
                )
                copied.append(job[1:])
        self.place()
        for copy in copied:
            self.did("copied", *copy)
        if away and not copied:
            self.away_until, self.away_for = time.monotonic() + self.away_for, min(2 * self.away_for, 60)
        elif copied:
            self.away_for = 0.5

    def wake(self):
        """Seconds until there may be something to copy."""
        now = time.monotonic()
        if not self.arranged:
            return 3600
        due = now if self.next_path is not None else min((at for _, at in self.later.values()), default=now + 3600)
        return max(0.0, due - now, self.away_until - now)

    def count(self, what):
        return self.rows(f"SELECT count(*) {what}")[0][0]

    def pending(self):
        return self.count(MISSING + " AND NOT w.refused") + self.count("FROM copies WHERE step != 'here'")

    def report(self):
        """One line: what there is, what was done, and what is not as the server has it."""
        withheld = self.count("FROM copies WHERE withheld IS NOT NULL") + self.count(MISSING + " AND w.refused")
        done = " ".join(f"{what}={self.done[what]}" for what in ("copied", "renamed", "removed"))
        line = f"files={self.count('FROM copies')} {done} pending={self.pending()} withheld={withheld}"
        if line != self.reported:
            print(line, flush=True)
        self.reported = line

    # The commands.

    def run(self, *arguments):
        command = [self.options.pwfs, *arguments]
        status = subprocess.run(command, stdout=subprocess.DEVNULL, preexec_fn=end_with_parent).returncode
        if status != 0:
            raise NotNow(status)

    def sync(self):
        """Waits until all was asked for anew; the exit status. Where that cannot be had, what is known is true, and older."""
        try:
            bounds = ("--max-age", self.options.max_age, "--timeout", self.options.timeout)
            self.run("sync-point", self.mount, "--allow-denied", *bounds)
        except NotNow as failure:
            return failure.status
        return 0

    def keep_fresh(self):
        """Beside everything else: has folders that nobody looks at asked for in time."""
        units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
        age = sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) *(ms|[smhd])", self.options.max_age))
        while True:
            time.sleep(max(age / 2, 1))
            self.sync()

    def take_in(self, lines):
        """Enters what `pwfs changes` told, all or none of it; true if there is no more by now."""
        told_all = False
        with self.db:
            for row in (json.loads(line) for line in lines if line.endswith(b"\n")):
                if "resync" in row:
                    raise Anew(row.get("why"))
                if "scope" in row:
                    if json.dumps(sorted(row["scope"]["folders"])) != self.fact("scope"):
                        raise Anew("the mount has other folders now")
                    continue
                told_all = row.get("caught_up", False)
                if "change" in row:
                    self.apply(row)
                    self.arranged = False
                self.remember("cursor", row["cursor"])
        return told_all

    def follow(self):
        """Takes in what changed, and copies meanwhile, until the command ends."""
        command = [self.options.pwfs, "changes", "--path", self.mount, "--since", self.fact("cursor")]
        command += [] if self.options.once else ["--follow"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=end_with_parent)
        lines = queue.Queue(1000)

        def listen():
            for line in child.stdout:
                lines.put(line)
            lines.put(b"")  # the end

        threading.Thread(target=listen, daemon=True).start()
        try:
            while True:
                try:
                    rows = [lines.get(timeout=self.wake())]
                except queue.Empty:
                    self.copy_some()
                    if self.next_path is None:
                        self.report()
                    continue
                while len(rows) < 1000 and rows[-1] and not lines.empty():
                    rows.append(lines.get())
                if self.take_in(rows) and not self.arranged:
                    self.arrange()
                if not rows[-1]:
                    break
        except Anew as why:
            print(f"begins anew: {why}", file=sys.stderr)
            with self.db:
                self.rows("DELETE FROM facts WHERE name = 'cursor'")
            return
        finally:
            child.kill()
            status = child.wait()
        if status != 0:
            raise NotNow(status)

    def once(self, stale):
        """What is missing is tried a few times; then the exit status: 0 if nothing is."""
        for _ in range(4):
            while self.next_path is not None and self.wake() == 0:
                self.copy_some()
            if not self.pending():
                break
            time.sleep(min(self.wake(), 5))
            self.next_path = ""
        self.report()
        return TRY_AGAIN if self.pending() else stale

    def keep(self):
        """Until it is ended, or once: the exit status."""
        fresh, pause = 0, 1
        if self.fact("cursor"):
            fresh = self.sync() if self.options.once else 0
        if not self.options.once:
            threading.Thread(target=self.keep_fresh, daemon=True).start()
        while True:
            began = time.monotonic()
            try:
                if not self.fact("cursor"):
                    fresh = self.sync()
                    self.take_manifest()
                self.arranged = False
                self.follow()
                if self.options.once and self.arranged:
                    return self.once(fresh)
            except NotNow as failure:
                print(f"pwfs ended with {failure.status}", file=sys.stderr)
                if self.options.once:
                    return failure.status
            pause = min(2 * pause, 60) if time.monotonic() - began < 60 else 1
            time.sleep(pause)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("mount", help="a pwfs mount (--preset pipeline), or a directory in one")
    parser.add_argument("copy", help="the directory to keep in step with it, and nothing else in it")
    parser.add_argument("--state", metavar="FILE", help=f"what is remembered [default: COPY/{ROOM}/state.sqlite]")
    parser.add_argument("--once", action="store_true", help="end when caught up; 75: not everything could be had")
    parser.add_argument("--max-age", default="15m", metavar="D", help="no folder is looked at less often [default: 15m]")
    parser.add_argument("--timeout", default="1h", metavar="D", help="goes on without that after so long [default: 1h]")
    parser.add_argument("--delete-unknown", action="store_true", help="remove what this account does not see any more")
    parser.add_argument("--pwfs", default="pwfs", metavar="PATH", help="the program [default: pwfs]")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(Consumer(parser.parse_args()).keep())


if __name__ == "__main__":
    main()
