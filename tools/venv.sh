#!/bin/sh
# Make or renew a virtual environment and install dependency groups into it:
#
#     [PYTHON=python3.12] tools/venv.sh FOLDER REQUIREMENT GROUP...
#
# Uses uv where it is installed, else Python's own venv and pip. An environment that another folder,
# another version of Python or an interrupted run left behind is made anew; any other is kept and updated.
set -eu

say() { printf 'relight: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        version=$(version_of "$PYTHON") || fail "PYTHON=$PYTHON can't be run"
        is_recent "$PYTHON" || fail "needs Python 3.11 or newer, but PYTHON=$PYTHON is $version"
        return
    fi
    for PYTHON in python3 python3.13 python3.12 python3.11 python; do
        if is_recent "$PYTHON"; then return; fi
    done
    fail "needs Python 3.11 or newer and found none on PATH; install one or name it: make test PYTHON=/path/to/python3.12"
}

is_usable() {
    [ ! -e "$venv/.unfinished" ] && is_recent "$venv/bin/python" &&
        # The environment's scripts name the folder they were made in: a copied one would run the original.
        grep -qF -e "$(pwd -P)/$venv" -e "$PWD/$venv" "$venv/bin/activate" 2>/dev/null &&
        { [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of "$venv/bin/python")" ]; }
}

create() {
    choose_python
    if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ ! -e "$venv/.unfinished" ] && [ -n "$(ls -A "$venv")" ]; then
        fail "$venv exists and is no virtual environment; remove it or name another: make test VENV=.venv-2"
    fi
    say "creating $venv with Python $(version_of "$PYTHON")"
    rm -rf "$venv"
    mkdir -p "$venv"
    : >"$venv/.unfinished"
    if has_uv; then
        uv venv --quiet --allow-existing --python "$PYTHON" "$venv"
    else
        "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$PYTHON has no venv module; on Debian and Ubuntu: apt install python$(version_of "$PYTHON")-venv"
        "$PYTHON" -m venv "$venv"
    fi
}

has_uv() { uv pip install --help 2>/dev/null | grep -q -e --group; }

install() {
    if has_uv; then
        uv pip install --quiet --python "$venv/bin/python" "$@"
    else
        pip="$venv/bin/python -m pip --disable-pip-version-check"
        $pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
        $pip install --help | grep -q -e --group || $pip install -qq --upgrade "pip>=25.1"
        $pip install -qq "$@"
    fi
}

venv=${1#"$PWD/"} requirement=$2
shift 2
case $venv in /*) fail "VENV must be a folder inside this one, got $venv" ;; esac
if [ -n "${PYTHON:-}" ]; then choose_python; fi
is_usable || create
: >"$venv/.unfinished"
say "installing into $venv: $requirement and the groups $* (the first time takes a minute)"
groups=
for group in "$@"; do groups="$groups --group $group"; done
case $requirement in
*.whl*) install --force-reinstall --no-deps "${requirement%%\[*}" && install "$requirement" $groups ;;
*) install --editable "$requirement" $groups ;;
esac
rm "$venv/.unfinished"
