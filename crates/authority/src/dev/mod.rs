//! An issuer of identity tokens for tests and laptops, on loopback only.
