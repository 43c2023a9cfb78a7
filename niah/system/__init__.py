"""What every program needs of the machine: files written whole, downloads, memory, threads, progress."""
