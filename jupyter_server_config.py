"""Settings of Jupyter's server: `make lab` names this file, and Binder has a copy.

A notebook that was run keeps half a gigabyte or more, also after its tab was closed. What nobody
has open and what was idle for half an hour is shut down; never in the middle of a cell. With its
tab open it stays, on Binder too: JupyterLab would not say why the next cell does not run.
"""

c = get_config()  # noqa: F821 (Jupyter puts it there)
c.MappingKernelManager.cull_idle_timeout = 30 * 60  # seconds
c.MappingKernelManager.cull_interval = 60
c.MappingKernelManager.cull_connected = False
c.MappingKernelManager.cull_busy = False
