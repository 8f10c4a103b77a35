"""One module a file format, each turning a file's bytes into blocks. Knows no worker process and no chunk."""
