"""Document QA: load, chunk, embed, store, sync, search and answer. Knows engines; knows no gateway and no CLI."""
