"""What a reader puts up with: how fast text must come, and how long it may be waited for."""

# Comfortable silent reading, as a reader's need for speed: 238 English words a minute (Brysbaert 2019,
# doi 10.1016/j.jml.2019.104047), at 1.3 tokens a word.
READING_TOKENS_S = 238 / 60 * 1.3
# Waiting longer than this breaks the flow of thought (Nielsen 1993, Usability Engineering, chapter 5).
FLOW_S = 1.0
PATIENCE_S = 10.0
