//! The certificate authority: its keys and certificates, what it certifies, and how.
