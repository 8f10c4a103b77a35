"""The gateway's traffic as it is watched: sums by second and minute, its history in the store, alerts."""
