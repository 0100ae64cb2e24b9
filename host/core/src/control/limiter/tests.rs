//! What the limiter as a whole promises; its parts have their own tests.
