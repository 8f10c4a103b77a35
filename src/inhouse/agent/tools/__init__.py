"""The tools that the agent may use, and how further ones join."""
