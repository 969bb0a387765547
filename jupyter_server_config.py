"""Settings of Jupyter's server: `make lab` names this file, and Binder has a copy.

A notebook that was run keeps half a gigabyte or more, also after its tab was closed. What was idle
for half an hour is shut down: never in the middle of a cell; and with its tab still open on Binder
only, where a third notebook would exceed the 2 GB of a session and end all three.
"""

import os

c = get_config()  # noqa: F821 (Jupyter puts it there)
c.MappingKernelManager.cull_idle_timeout = 30 * 60  # seconds
c.MappingKernelManager.cull_interval = 60
c.MappingKernelManager.cull_connected = "BINDER_LAUNCH_HOST" in os.environ
