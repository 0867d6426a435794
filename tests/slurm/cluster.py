"""A Slurm of two nodes on this machine: its real daemons, without systemd, cgroups or accounts.

Memory and time limits are enforced, and one node has a pretended GPU. It needs Debian's packages
munge, slurmctld, slurmd and slurm-client, and no root.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests import debian

PROGRAMS = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmstepd": "slurmd",
    "sbatch": "slurm-client",
}
SBIN = "/usr/sbin"
NODES = ("n1", "n2")
CONF = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
MinJobAge=3600
MailProg=/bin/true
ReturnToService=2
KillWait=3
SlurmdTimeout=10
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
StateSaveLocation={folder}/state
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/spool/%n
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
GresTypes=gpu
AccountingStorageType=accounting_storage/none
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={port1} CPUs=4 RealMemory=6000 Gres=gpu:1
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={port2} CPUs=4 RealMemory=6000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
"""


@dataclass
class Cluster:
    """The daemons and files of a cluster, in a folder of its own."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="slurm-")))

    def environment(self) -> dict[str, str]:
        """Return an environment in which sbatch and the others speak to this cluster."""
        path = f"{self.folder}/bin:{os.environ['PATH']}:{SBIN}"
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def run(self, *command: str) -> str:
        """Run a program in that environment; return what it wrote."""
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        """Start all daemons and wait until both nodes are idle."""
        self.folder.chmod(0o755)  # munged wants it
        self._configure()
        names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
        names |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        self.run("munged", *(f"--{k}={self.folder / v}" for k, v in names.items()))
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait(lambda: self.run("sinfo", "-hN", "-o", "%T").split() == ["idle", "idle"])

    def _configure(self) -> None:
        for name in ("state", "spool/n1", "spool/n2", "bin"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge.key").chmod(0o600)
        one, two, three = free_ports(3)
        ports = {"port": one, "port1": two, "port2": three}
        user = psutil.Process().username()
        conf = CONF.format(folder=self.folder, user=user, **ports)
        (self.folder / "slurm.conf").write_text(conf)
        (self.folder / "gres.conf").write_text("NodeName=n1 Name=gpu Count=1 File=/dev/null\n")
        # A cgroup plugin is loaded even where none is used; v1 does nothing until it is asked to.
        version = self.run("slurmd", "-V").split()[-1]
        plugin = "cgroup/v1" if version.startswith(("20", "21", "22", "23")) else "disabled"
        (self.folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")
        # The official plugin calls srun in a job without any SLURM_* variable, SLURM_CONF too.
        srun = self.folder / "bin" / "srun"
        real = shutil.which("srun")
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {real} "$@"\n')
        srun.chmod(0o755)

    def start_controller(self) -> None:
        """Start slurmctld."""
        self.run("slurmctld")

    def stop_controller(self) -> None:
        """Kill slurmctld, as a crash would."""
        self._kill("slurmctld")

    def start_node(self, name: str) -> None:
        """Start slurmd of a node."""
        stepd = shutil.which("slurmstepd", path=self.environment()["PATH"])
        self.run("slurmd", "-N", name, "-d", str(stepd))

    def stop_node(self, name: str) -> None:
        """Kill all of a node's processes, as a loss of power would: slurmd and what jobs run."""
        jobs = [j for j in self.jobs("R") if j.node == name]
        self._kill(name)
        for job in jobs:
            for process in psutil.process_iter(["cmdline"]):
                if f"slurmstepd: [{job.id}." in " ".join(process.info["cmdline"] or ()):
                    for member in [process, *process.children(recursive=True)]:
                        member.kill()

    def _kill(self, daemon: str) -> None:
        """Kill the daemon of a pid file, if it is one of ours still."""
        path = self.folder / f"{daemon}.pid"
        if path.exists() and psutil.pid_exists(pid := int(path.read_text())):
            process = psutil.Process(pid)
            if process.name() in PROGRAMS:
                os.kill(pid, signal.SIGKILL)
                process.wait(20)
        path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Cancel all jobs, stop all daemons, and remove the folder."""
        subprocess.run(["scancel", "--me"], env=self.environment(), capture_output=True)
        self.wait(lambda: not self.run("squeue", "-h").strip())
        for daemon in (*NODES, "slurmctld", "munged"):
            self._kill(daemon)
        shutil.rmtree(self.folder)

    def jobs(self, states: str = "all") -> list[SlurmJob]:
        """Return all jobs that were ever submitted, or those in a state."""
        fields = "%i|%j|%T|%l|%m|%N"
        lines = self.run("squeue", "-h", f"--states={states}", "-o", fields).splitlines()
        return sorted((SlurmJob(*line.split("|")) for line in lines), key=lambda j: int(j.id))

    def jobs_named(self, name: str) -> list[SlurmJob]:
        """Return the jobs of a name that were ever submitted."""
        return [job for job in self.jobs() if job.name == name]

    def wait(self, condition: Callable[[], object], seconds: float = 120) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                logs = {p.name: p.read_text()[-1000:] for p in self.folder.glob("*.log")}
                raise AssertionError(f"not within {seconds} s; {logs}")
            time.sleep(0.3)


@dataclass(frozen=True)
class SlurmJob:
    """A line of squeue."""

    id: str
    name: str
    state: str
    time: str
    memory: str
    node: str


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens to."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def install() -> None:
    """Install Debian's packages where they are missing. Raises Missing where that is impossible."""
    debian.install("Slurm", PROGRAMS, f"{os.environ['PATH']}:{SBIN}")
