"""The backends that can run here: `python -m bench.devices` prints one line of JSON.

A process of its own, because asking imports every library.
"""

import json

import chainrule as cr

if __name__ == "__main__":
    found = {
        status.name: {"devices": list(status.devices), "reason": status.reason}
        for status in cr.backends.available()
    }
    print(json.dumps(found))
