# Sourced by the scripts beside it: sets `python` to a Python that is new enough, or ends with what to do.
# PYTHON=/path/to/python3.12 chooses one.

python=
for candidate in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11 python; do
  if command -v "$candidate" >/dev/null 2>&1 &&
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "Python 3.11 or newer is needed and was not found (python3 is: $(python3 --version 2>&1 || echo missing))." >&2
  echo "Install it from https://www.python.org/downloads/ or with your package manager, or set PYTHON=/path/to/it." >&2
  exit 1
fi
