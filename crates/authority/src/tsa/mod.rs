//! The timestamp authority (RFC 3161).
