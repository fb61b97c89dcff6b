#!/bin/sh
# Installs the wheels of one layer, with their bytecode.
# /wheels holds the wheels, requirements.txt, whose hashes uv checks once more, and trim.txt, the files of them that
# the image does without; a layer may be empty.
set -eu
site=/layer/opt/venv
packages=$(/opt/venv/bin/python -I -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
mkdir -p "$site"
if [ -s /wheels/requirements.txt ]; then
    /tools/uv pip install --quiet --python /opt/venv/bin/python --prefix "$site" --link-mode copy \
        --no-cache --no-index --find-links /wheels --no-deps --require-hashes -r /wheels/requirements.txt
    # uv notes when each wheel was last written on the host; nothing reads it here, and it differs by machine.
    find "$site" -name uv_cache.json -delete
    find "$site" -path '*.dist-info/RECORD' -exec sed -i '/uv_cache\.json/d' {} +
    if [ -s /wheels/trim.txt ]; then /tools/trim.py "/layer$packages" </wheels/trim.txt; fi
    # Hash-checked bytecode holds no modification time, and -s/-p make its paths those of the image.
    /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -s /layer -p / "$site/lib" || echo "some modules do not compile on this Python; they are data to their package" >&2
fi
rm -f "$site/.lock"
# One constant modification time makes two builds the same bytes.
find /layer -exec touch -h -d @1577836800 {} +
# Into its place as links: a copy would write gigabytes once more. The layer is what lies under /layer and nothing
# else, because the only other folder that was written to, /tmp, is not part of it. Of two wheels with one file the
# later layer has it.
cp -alf /layer/. /
rm -rf /layer
