"""From features to a score: margin, probability of default, points and grade, and the reason codes behind them."""
