"""The machine below: files written whole, downloads, memory, threads, progress."""
