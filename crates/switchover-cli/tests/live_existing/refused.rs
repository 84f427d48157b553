//! What is refused, and what is held.
