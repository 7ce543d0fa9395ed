#!/usr/bin/python
"""Ansible module, run on the controller: plot a measurement of jitter."""

from __future__ import annotations

DOCUMENTATION = r"""
module: jitter_plot
short_description: Plot a measurement of jitter
description:
  - Draws what wirebook-jitter(8) measured as an SVG file. Runs on the controller.
attributes:
  check_mode:
    support: full
    description: Says what would change, and changes nothing.
  diff_mode:
    support: none
    description: A plot isn't compared line by line.
author: The wirebook engineers (!UNKNOWN)
options:
  src:
    description: The measurement.
    type: path
    required: true
  dest:
    description: The plot.
    type: path
    required: true
  verdicts:
    description: A line of text for each tool's panel, by the tool's name.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Plot the measurement
  wirebook.node.jitter_plot:
    src: reports/colo1/jitter-1795327200.json
    dest: reports/colo1/jitter-1795327200.svg
    verdicts: {oslat: "PASS, budget 20 us, 7 us on CPU 2"}
  delegate_to: localhost
"""

RETURN = r"""
dest:
  description: The plot.
  type: str
  returned: success
"""

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.jitter.plot import plot
from ansible_collections.wirebook.node.plugins.module_utils.ledger.files import replace_file


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "verdicts": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    source, target = Path(module.params["src"]), Path(module.params["dest"])
    try:
        drawn = plot(json.loads(source.read_text()), module.params["verdicts"]).encode()
    except (OSError, ValueError, KeyError, TypeError) as error:
        module.fail_json(msg=f"{source} isn't a measurement ({error!r}): measure again with `make jitter`.")
    changed = not target.exists() or target.read_bytes() != drawn
    if changed and not module.check_mode:
        replace_file(target, drawn, 0o644, os.getuid(), os.getgid())
    module.exit_json(changed=changed, dest=str(target))


if __name__ == "__main__":
    main()
