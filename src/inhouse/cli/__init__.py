"""The command line: one module a command group, each imported only when one of its commands runs."""
