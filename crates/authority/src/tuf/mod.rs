//! The repository from which clients learn whom to believe (The Update Framework, specification 1.0).
