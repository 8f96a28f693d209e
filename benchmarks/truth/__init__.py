"""What others return for the same feature of the same stream in disorder, and what is right."""
