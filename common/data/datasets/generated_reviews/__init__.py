"""The embedded `generated_reviews`: sentences put together by rules."""
