#!/bin/sh
# Makes the layer that all others stand on: an empty virtual environment, a home and, with vLLM, its server and
# the health check of that.
# usage: environment.sh PYTHON, the version that the cell asks for ("3.11").
set -eu
have=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ "$have" != "$1" ]; then
    echo "the base has Python $have, the cell asks for $1" >&2
    exit 1
fi
python3 -m venv --without-pip /opt/venv
mkdir -p /environment/opt /environment/home/app/.cache /environment/usr/local/bin
cp -a /opt/venv /environment/opt/venv
chown -R 1000:0 /environment/home/app
chmod 2775 /environment/home/app /environment/home/app/.cache
for program in serve alive; do
    if [ -e "/tools/$program.py" ]; then
        install -m 755 "/tools/$program.py" "/environment/usr/local/bin/$program"
    fi
done
# One constant modification time makes two builds the same bytes.
find /environment -exec touch -h -d @1577836800 {} +
