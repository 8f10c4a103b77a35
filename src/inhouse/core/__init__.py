"""What everything else is built on: records, the environment, settings, errors. Imports nothing else of ours."""
