"""The command line that the scripts of this folder share."""

import argparse
import fnmatch
import os
import sys


def parse(doc, group, workloads, programs, quick, servers=True, only_if_named=()):
    """The arguments, with `cores`, sorted, and `chosen`, the workloads to run. Ends the program if there are none, or one
    core only. `programs`: pairs of an option that names one and what it is, or triples with what argparse is told beside."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", metavar="GLOB", help=f"workloads to run, such as '{group}/{workloads[0].name}'")
    if servers:
        parser.add_argument("--servers", default="*", metavar="GLOB[,GLOB]", help="servers to run")
    parser.add_argument("--quick", action="store_true", help=f"{quick}: for a look, not for figures")
    for option, what, *beside in programs:
        parser.add_argument(f"--{option}", help=what, **{"required": True, **(beside[0] if beside else {})})
    args = parser.parse_args()
    args.cores = sorted(os.sched_getaffinity(0))
    args.chosen = [workload for workload in workloads if fnmatch.fnmatch(f"{group}/{workload.name}", args.only)
                   and (workload.name not in only_if_named or args.only == f"{group}/{workload.name}")]
    if not args.chosen:
        sys.exit(0)
    if len(args.cores) < 2:
        sys.exit(f"{group}: server and generator need a core each, and there is only one")
    return args


def named(kinds, args):
    """Those that --servers names."""
    return [kind for kind in kinds if any(fnmatch.fnmatch(kind.name, glob) for glob in args.servers.split(","))]
