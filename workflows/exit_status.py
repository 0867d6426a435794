"""How the runner of jobs ends, for those who decide whether another attempt makes sense."""

MISTAKE = 1  # in data or parameters: every attempt would end so
USAGE = 2  # a wrong call, as argparse has it
FAILED = 3  # by a bug, the disk, the device, or a signal: another attempt may help
OUT_OF_MEMORY = 4
MACHINE = 5  # by the GPU or the disk of the machine: another one may do it
