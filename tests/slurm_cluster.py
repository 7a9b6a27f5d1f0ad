"""A real SLURM of two nodes on this one host, from Debian's packages.

Loaded by tests with ``runpy.run_path``; ``cluster`` is the entrance. Needs root; missing packages are installed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NODES = ("n1", "n2")
CONF = """
ClusterName=c
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation={folder}/ctl
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
KillWait=30
SchedulerParameters=bf_interval=1,sched_interval=1,requeue_delay=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs={cpus} RealMemory=4000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=p Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Daemons on ``folder`` while the body runs; yields the environment in which SLURM's commands find them."""
    _install()
    for name in ("ctl", "spool.n1", "spool.n2", "run"):
        (folder / name).mkdir(parents=True)
    conf, hosts = folder / "slurm.conf", folder / "hosts"
    host = socket.gethostname().partition(".")[0]
    conf.write_text(CONF.format(host=host, folder=folder, cpus=os.cpu_count()))
    hosts.write_text(Path("/etc/hosts").read_text() + "\n127.0.0.1 n1 n2\n")
    _munge()
    quiet = subprocess.DEVNULL
    started = [subprocess.Popen(["/usr/sbin/slurmctld", "-D", "-f", str(conf)], stdout=quiet, stderr=quiet)]
    for node in NODES:
        inner = f"mount --bind {hosts} /etc/hosts && exec /usr/sbin/slurmd -D -f {conf} -N {node}"
        started.append(subprocess.Popen(["unshare", "-m", "sh", "-c", inner], stdout=quiet, stderr=quiet))
    environment = os.environ | {"SLURM_CONF": str(conf)}
    try:
        _await_idle(environment)
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False)
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=30)


def _install() -> None:
    if shutil.which("sbatch") and shutil.which("munged"):
        return
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    subprocess.run([*apt, "update"], check=True)
    packages = ["slurm-wlm", "munge"]
    subprocess.run([*apt, "install", "-y", "--no-install-recommends", *packages], check=True, stdout=subprocess.DEVNULL)


def _munge() -> None:
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return
    subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", "755", "/run/munge"], check=True)
    subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged"], check=True)


def _await_idle(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done = subprocess.run(
            ["sinfo", "-h", "-o", "%T %D"], env=environment, capture_output=True, text=True, check=False
        )
        if done.stdout.split() == ["idle", "2"]:
            return
        time.sleep(0.3)
    raise AssertionError("SLURM's nodes did not become idle")
