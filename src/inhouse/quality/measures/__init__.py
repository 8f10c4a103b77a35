"""What one suite's mean score cannot say: spreads, bias, consistency, detection, context, language, sampling."""
