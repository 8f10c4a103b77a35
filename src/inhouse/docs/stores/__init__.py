"""Vector stores: one protocol, SQLite by default, and adapters for Chroma, pgvector, Qdrant and Pinecone."""
