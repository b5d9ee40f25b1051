#!/bin/sh
# Build the wheel and run the suite against it, from an empty folder:
#
#     [COVERAGE=1] tools/wheel-test.sh VENV -m pytest ARGUMENT...
#
# In the clone a package or data file that the wheel lacks would be found beside the tests.
set -eu

root=$(pwd -P)
tools=$1/bin
venv=$1-wheel
shift

rm -rf dist
echo "relight: building the wheel"
"$tools/python" -m build --outdir dist . >dist.log 2>&1 || { cat dist.log; rm dist.log; exit 1; }
rm dist.log
tools/venv.sh "$venv" "$(echo dist/relight-*.whl)[all]" test bench

empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
cd "$empty"
python=$root/$venv/bin/python
"$python" -P -c 'import relight, sys; sys.exit("site-packages" not in relight.__file__ and relight.__file__)'
# Measured in the wheel, reported under the names of the clone: see [tool.coverage.paths].
"$python" -P ${COVERAGE:+-m coverage run --rcfile="$root/pyproject.toml" --data-file="$root/.coverage"} "$@" \
    -c "$root/pyproject.toml" --rootdir "$root" -p no:cacheprovider \
    -o addopts="--import-mode=importlib --confcutdir='$root/tests' -ra --strict-markers --strict-config" "$root/tests"
# --verifytypes looks the package up in the first python on PATH and heeds no other setting. It ends with an
# error for attributes whose types it has to infer; those are counted, types that nobody knows are refused.
report=$(PATH=$root/$venv/bin:$PATH "$root/$tools/python" -m pyright --ignoreexternal --verifytypes relight || true)
echo "$report" | grep "completeness score"
echo "$report" | grep -A3 '^Symbols exported by "relight"' | grep -q "With unknown type: 0" || { echo "$report"; exit 1; }
