#!/usr/bin/env python3
"""The man pages as `make install` makes them: mandoc finds nothing to say, every command and option of --help is in its
page and every option of a page is one of --help's, examples use options that exist, and stoq.conf(5) has the keys of
the file that `stoq init` writes, all of them and no others."""
import os
import re
import shutil
import subprocess
import sys

SRC, STOQ, TMP = os.environ["STOQ_SRC"], os.environ["STOQ"], os.environ["TMP"]
missing = [p for p in ("scdoc", "mandoc") if shutil.which(p) is None]
if missing:
    print("not here: " + " ".join(missing))
    sys.exit(77)

problems = []
OPTION = r"(?<![\w-])--[a-z0-9][a-z0-9-]*"


def run(*cmd):
    return subprocess.run(cmd, capture_output=True, text=True, check=True).stdout


def shown(path):
    """The page as a reader sees it, without its overstriking."""
    return re.sub(r".\x08", "", run("mandoc", "-T", "utf8", "-O", "width=200", path))


def section(page, name):
    m = re.search(rf"^{name}\n(.*?)(?=^\S|\Z)", page, re.M | re.S)
    return m[1] if m else ""


def of_help(text):
    """The options that a help text lists."""
    return set(re.findall(rf"^ +(?:-\w(?: \S+)?, )?({OPTION})", text, re.M))


run(os.path.join(SRC, "tools/man"), "--stoq", STOQ, TMP)
MAN = os.path.join(TMP, "man")
for folder in ("man1", "man5"):
    for name in sorted(os.listdir(os.path.join(MAN, folder))):
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(MAN, folder, name)],
                              capture_output=True, text=True, check=False)
        if lint.returncode or lint.stdout or lint.stderr:
            problems.append(lint.stdout + lint.stderr)

overview = run(STOQ, "help")
commands = re.findall(r"^  ([a-z][a-z-]*) ", overview, re.M)
pages = {n[:-2] for n in os.listdir(os.path.join(MAN, "man1"))}
if {"stoq-" + c for c in commands} | {"stoq"} != pages:
    problems.append(f"pages and commands differ: {sorted({'stoq-' + c for c in commands} ^ (pages - {'stoq'}))}")
common, options = set(), {}
for c in commands:
    own, every = run(STOQ, "help", c).split("Options of every command:")
    options[c] = of_help(own.partition("\nOptions:")[2])
    common = of_help(every)
if len(commands) < 20 or len(options["publish"]) < 10 or len(common) < 6:
    problems.append(f"too little was read of --help: {commands} {common}")
main_page = shown(os.path.join(MAN, "man1/stoq.1"))
listed = of_help(section(main_page, "OPTIONS OF EVERY COMMAND"))
if listed != common:
    problems.append(f"stoq(1) and stoq help differ in the common options: {sorted(listed ^ common)}")
for c in commands:
    if f"stoq-{c}(1)" not in main_page:
        problems.append(f"stoq(1) does not name {c}")

for c, wanted in options.items():
    listed = of_help(section(shown(os.path.join(MAN, "man1", f"stoq-{c}.1")), "OPTIONS"))
    if listed != wanted:
        problems.append(f"stoq-{c}(1) and stoq help {c} differ: {sorted(listed ^ wanted)}")
for name in sorted(os.listdir(os.path.join(MAN, "man1"))):
    page = shown(os.path.join(MAN, "man1", name))
    for line in section(page, "EXAMPLES").splitlines():
        for call in re.findall(r"\bstoq (?:--home \S+ )?([a-z][a-z-]*)([^|&#]*)", line):
            if call[0] not in options:
                problems.append(f"{name}: no command {call[0]}: {line}")
                continue
            for o in re.findall(OPTION, call[1]):
                if o not in options[call[0]] | common:
                    problems.append(f"{name}: stoq {call[0]} has no {o}: {line}")

run(STOQ, "--home", os.path.join(TMP, "home"), "init")
keys, defaults, where = set(), {}, ""
for line in open(os.path.join(TMP, "home/stoq.conf"), encoding="utf-8"):
    if m := re.match(r"\[(\w+)\]", line):
        where = m[1] + "."
    elif m := re.match(r"#([a-z_0-9]+) = (.*)", line):
        keys.add(where + m[1])
        defaults[where + m[1]] = m[2]
page = section(shown(os.path.join(MAN, "man5/stoq.conf.5")), "KEYS")
KEY = r"[a-z_0-9]+(?:\.[a-z_0-9]+)?"
in_page = {k for line in re.findall(rf"^ {{1,8}}({KEY}(?:, {KEY})*)$", page, re.M) for k in line.split(", ")}
# What docs/CLI.md names as a default is what the file shows: `a`, `b` beside as many values.
PLAIN = r"[0-9][0-9A-Za-z.%]*|on|off|zstd|auto|p2p|info|known"
compared = 0
for line in open(os.path.join(SRC, "docs/CLI.md"), encoding="utf-8"):
    cells = [c.strip() for c in line.split("|")]
    names = re.findall(r"`([a-z_]+(?:\.[a-z_0-9]+)?)`", cells[1]) if len(cells) > 3 else []
    values = [v.strip(" `") for v in cells[2].split(",")] if names else []
    if set(names) <= set(defaults) and len(names) == len(values) and all(re.fullmatch(PLAIN, v) for v in values):
        compared += len(names)
        problems += [f"{n}: the default is {v} in docs/CLI.md, {defaults[n]} in the file of stoq init"
                     for n, v in zip(names, values) if v.rstrip("0").rstrip(".") != defaults[n].rstrip("0").rstrip(".")]
if compared < 15:
    problems.append(f"only {compared} defaults of docs/CLI.md were found")
if keys != in_page or len(keys) < 8:
    problems.append(f"stoq.conf(5) and the file of stoq init differ: {sorted(keys ^ in_page)}")

if problems:
    sys.exit("FAILED:\n" + "\n".join(problems))
