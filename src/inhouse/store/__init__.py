"""Everything that is kept: runs, samples, metrics, series and findings, in SQLite or PostgreSQL."""
