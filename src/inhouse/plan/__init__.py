"""From what was measured to what it takes: machines for a demand, and what they cost; measures nothing itself."""
