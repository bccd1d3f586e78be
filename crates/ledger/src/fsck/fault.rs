//! What the judge found wrong, and where: the file, the entry and the first wrong byte.

use std::fmt;

use crate::source::ReadError;

/// The first thing found that a sound log would not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What sort of fault.
    pub kind: FaultKind,
    /// The public path of the object at fault.
    pub file: String,
    /// The first entry concerned, by its index in the log.
    pub entry: Option<u64>,
    /// The first wrong byte of the object; for an entry that hashes wrongly, where the entry's record begins.
    pub offset: Option<u64>,
    /// What is wrong, and what was expected.
    pub problem: String,
}

/// The sorts of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The checkpoint is not one of the log with this key, or lacks the cosignatures that a policy asks for.
    Signature,
    /// An object that the checkpoint implies is not there.
    Missing,
    /// An object does not have the form it must have.
    Malformed,
    /// An object's content contradicts other objects.
    Mismatch,
    /// All objects agree with each other and give another root than the checkpoint.
    Root,
    /// The log is smaller than it was.
    Rollback,
    /// An earlier checkpoint of the log is not a prefix of this one.
    Fork,
}

impl FaultKind {
    /// A word for machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::Root => "root",
            Self::Rollback => "rollback",
            Self::Fork => "fork",
        }
    }
}

impl Fault {
    pub(super) fn new(kind: FaultKind, file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { kind, file: file.into(), entry: None, offset: None, problem: problem.into() }
    }

    pub(super) fn at_entry(self, entry: u64) -> Self {
        Self { entry: Some(entry), ..self }
    }

    pub(super) fn at_byte(self, offset: usize) -> Self {
        Self { offset: Some(offset as u64), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(entry) = self.entry {
            write!(f, ", entry {entry}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", byte {offset}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for Fault {}

/// Why an object gave no answer: it is wrong, or it could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObjectError {
    /// The log is at fault.
    Fault(Box<Fault>),
    /// The world is.
    Unavailable {
        /// What was asked for.
        file: String,
        /// Why it did not come.
        cause: String,
    },
}

impl ObjectError {
    pub(super) fn read(file: impl Into<String>, error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(cause) => Fault::new(FaultKind::Malformed, file, cause).into(),
            ReadError::Unavailable(cause) => Self::Unavailable { file: file.into(), cause },
        }
    }
}

impl From<Fault> for ObjectError {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Unavailable { file, cause } => write!(f, "cannot read {file}: {cause}"),
        }
    }
}

impl std::error::Error for ObjectError {}
