"""What a process computes with: device, precision, threads, random draws, and files that are never half written."""
