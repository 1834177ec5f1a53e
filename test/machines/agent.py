"""Runs commands in a machine for the tests, over a port that needs no network.

Each line is an order {id, command, input, env}; each answer is a line {id, code, stdout, stderr}.
"""

import base64
import json
import os
import subprocess
import tempfile
import threading
import time

port = os.open('/dev/virtio-ports/agent', os.O_RDWR)
turn = threading.Lock()
login = {
    'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOME': '/root',
    'USER': 'root',
    'LOGNAME': 'root',
    'SHELL': '/bin/bash',
    'LANG': 'C.UTF-8',
}


def say(answer):
    data = json.dumps(answer).encode() + b'\n'
    with turn:
        while data:
            data = data[os.write(port, data) :]


def carry_out(order):
    # Files, because a daemon that the command starts would hold pipes open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given:
        given.write(base64.b64decode(order['input']))
        given.seek(0)
        done = subprocess.run(
            order['command'],
            stdin=given,
            stdout=out,
            stderr=err,
            env={**login, **order['env']},
            cwd='/root',
            start_new_session=True,
        )
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode('utf8', 'replace'))
    say({'id': order['id'], 'code': done.returncode, 'stdout': said[0], 'stderr': said[1]})


say({'up': True})
waiting = b''
while True:
    data = os.read(port, 1 << 16)
    if not data:
        time.sleep(0.1)
    *lines, waiting = (waiting + data).split(b'\n')
    for line in filter(None, lines):
        threading.Thread(target=carry_out, args=(json.loads(line),), daemon=True).start()
