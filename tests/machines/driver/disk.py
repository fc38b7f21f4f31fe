"""A disk of its own for a machine's state: what is not synchronised on it is lost when the power is cut."""

import errno
import fcntl
import os
import struct
import subprocess
import time
import uuid
from pathlib import Path

MOUNT_POINT = "var/lib/data-mesher"

# linux/ext4.h: takes a file system down at once, without writing its journal out. What the disk then holds is what it would
# hold after a power cut, and the next mount replays it.
_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_TIMEOUT = 10.0


class StateDisk:
    """An ext4 file system in a file. It is mounted in its machine's mount namespace alone: it goes with the machine's last
    process, and no other machine's namespaces hold on to it."""

    def __init__(self, work: Path, root: Path, size: str) -> None:
        # Loop devices are everybody's: the path tells this one's from those of other runs.
        self._image = work / f"state-{uuid.uuid4().hex}.img"
        self._place = root / MOUNT_POINT
        subprocess.run(["truncate", f"--size={size}", str(self._image)], check=True)
        # Nothing held back for root, so that full is full.
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0", str(self._image)], check=True)
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)

    def attached(self, command: list[str]) -> list[str]:
        """The command with the disk mounted for it. Without ext4's mercy for those who rename a file that they have not
        synchronised."""
        self._wait_until(lambda: not self._is_in_use())
        mount = f"mount -t ext4 -o loop,noauto_da_alloc {self._image} {self._place}"
        return ["unshare", "--mount", "--", "sh", "-c", f'{mount} || exit; exec "$@"', "sh", *command]

    def wait_until_attached(self, process: subprocess.Popen) -> None:
        """Waits until the command's disk is there, or the command has ended."""
        self._wait_until(lambda: self._is_mounted(process.pid) or process.poll() is not None)

    def cut(self, process: subprocess.Popen) -> None:
        """Takes the file system down as a power cut does."""
        directory = os.open(self._seen_by(process.pid), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(directory, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(directory)

    # Helpers.

    def _seen_by(self, process: int) -> Path:
        return Path(f"/proc/{process}/root{self._place}")

    def _is_mounted(self, process: int) -> bool:
        try:
            return self._seen_by(process).stat().st_dev != self._seen_by(process).parent.stat().st_dev
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESRCH):
                return False
            raise

    def _is_in_use(self) -> bool:
        """Whether it is still mounted for the machine as it was before: mounted again now, it would be the one taken down."""
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                if self._image.name in backing.read_text():
                    return True
            except OSError:
                continue  # gone at this moment
        return False

    def _wait_until(self, condition) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._image}: not within {_TIMEOUT:.0f} s")
            time.sleep(0.002)
