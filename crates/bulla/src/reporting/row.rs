//! What is said of one image: every signature and statement that it has, and what they come to.

use serde::{Deserialize, Serialize};

use super::evidence::{Blob, Evidence};

/// One image. The first members of it and of [`Entry`] are those that were asked for by name; the others stand beside them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// As it was named.
    pub(crate) image_ref: String,
    /// What it was then; none if it could not be read.
    pub(crate) digest: Option<String>,
    /// Signatures and statements that were found.
    pub(crate) total_entries: usize,
    /// Those that hold.
    pub(crate) valid_entries: usize,
    /// Those that do not.
    pub(crate) invalid_entries: usize,
    /// Each of them.
    pub(crate) entries: Vec<Entry>,
    /// When they were judged.
    pub(crate) generated_at: String,
    /// What the signatures come to.
    pub(crate) status: Status,
    /// Why it is nothing better.
    pub(crate) reason: Option<String>,
    /// What it has.
    pub(crate) coverage: Coverage<Option<bool>>,
    /// What could not be read.
    pub(crate) unread: Vec<NotRead>,
    /// Who says what refers to the image: `api`, `tag`, `search`.
    pub(crate) listed_by: Option<String>,
    /// How many containers run it, and where the first of them are.
    pub(crate) uses: u64,
    /// `namespace/pod/container`.
    pub(crate) used_by: Vec<String>,
    /// What a member of an index is said to run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<String>,
    /// The bytes of an index, which list its members. None if they were not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Blob>,
    /// What the members of an index have. They count by themselves, and not towards the index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<Self>,
    /// Members that were not looked at, because they are too many.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) members_left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "it is called with a reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// What all signatures of an image come to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// Enough of those who must have signed did.
    Verified,
    /// There are signatures, and they are not enough.
    NotVerified,
    /// There is none.
    Unsigned,
    /// Nobody knows: not everything could be read.
    Undetermined,
}

impl Status {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::NotVerified => "not-verified",
            Self::Unsigned => "unsigned",
            Self::Undetermined => "undetermined",
        }
    }
}

/// Something for each thing that an image should have.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Coverage<T> {
    /// Signed by enough of those who must have.
    pub(crate) signed: T,
    /// A statement of how it was built.
    pub(crate) provenance: T,
    /// A bill of materials.
    pub(crate) sbom: T,
    /// A statement of which vulnerabilities matter.
    pub(crate) vex: T,
    /// The result of a scan for vulnerabilities.
    pub(crate) vulnerability_scan: T,
}

impl<T> Coverage<T> {
    /// Each with its name for a person.
    pub(crate) fn each(&self) -> [(&'static str, &T); 5] {
        [
            ("signed", &self.signed),
            ("provenance", &self.provenance),
            ("SBOM", &self.sbom),
            ("VEX", &self.vex),
            ("vulnerability scan", &self.vulnerability_scan),
        ]
    }

    /// The same, to be changed.
    pub(crate) fn each_mut(&mut self) -> [&mut T; 5] {
        [&mut self.signed, &mut self.provenance, &mut self.sbom, &mut self.vex, &mut self.vulnerability_scan]
    }
}

/// One signature or statement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What a log finds it by: the hash of its leaf. None if it is in no log.
    pub(crate) uuid: Option<String>,
    /// When it was made, as a log or a timestamp authority saw it.
    pub(crate) timestamp: Option<String>,
    /// Whether it holds.
    pub(crate) status: Validity,
    /// Which check failed, and why.
    pub(crate) problem: Option<String>,
    /// What it is.
    pub(crate) kind: Kind,
    /// Of which type, if it is a statement.
    pub(crate) predicate_type: Option<String>,
    /// Who made it; of what does not hold it is a claim.
    pub(crate) signer: Option<SignedBy>,
    /// The logs that prove to have it.
    pub(crate) logs: Vec<LoggedIn>,
    /// Where it lies.
    pub(crate) place: String,
    /// What was judged. None if it was not wanted, or would have been too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) evidence: Option<Evidence>,
}

/// Whether something holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Validity {
    /// Every check passed.
    Valid,
    /// One did not.
    Invalid,
}

/// What something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A signature of the image.
    Signature,
    /// SLSA provenance.
    Provenance,
    /// SPDX or `CycloneDX`.
    Sbom,
    /// `OpenVEX`.
    Vex,
    /// What a scanner found.
    VulnerabilityScan,
    /// Another statement.
    Other,
    /// It cannot be read.
    Unreadable,
}

impl Kind {
    /// Whether it is a signature of the image, or might be one.
    pub(super) fn is_signature(self) -> bool {
        matches!(self, Self::Signature | Self::Unreadable)
    }
}

/// Who made a signature.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct SignedBy {
    /// The name in the certificate, and who vouched for it.
    pub(crate) subject: Option<String>,
    /// The URL of who vouched.
    pub(crate) issuer: Option<String>,
    /// The SHA-256 of the key.
    pub(crate) key_sha256: String,
}

/// An entry of a log, in whose tree it was proved to be.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LoggedIn {
    /// The log's ID.
    pub(crate) log_id: String,
    /// Where it is in the log.
    pub(crate) log_index: String,
    /// The first line of the checkpoint. None of these if the log only promised.
    pub(crate) origin: Option<String>,
    /// The size of the tree.
    pub(crate) tree_size: Option<u64>,
    /// Its root, base64.
    pub(crate) root_hash: Option<String>,
    /// Witnesses whose cosignature of the checkpoint holds, as the policy that was given calls them.
    pub(crate) witnessed_by: Vec<String>,
    /// Whether these are enough. None if nobody named witnesses.
    pub(crate) witnesses_enough: Option<bool>,
    /// Witnesses in whose name there is a cosignature that does not hold.
    pub(crate) forged: Vec<String>,
    /// Other names on the checkpoint: nobody said by which keys they would be witnesses.
    pub(crate) not_checked: Vec<String>,
}

/// What could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct NotRead {
    /// Where it would be.
    pub(crate) place: String,
    /// Why.
    pub(crate) problem: String,
}

impl Row {
    /// Nothing is known of it but its name, and why.
    pub(super) fn unknown(image_ref: String, reason: String, generated_at: &str) -> Self {
        Self {
            image_ref,
            digest: None,
            total_entries: 0,
            valid_entries: 0,
            invalid_entries: 0,
            entries: Vec::new(),
            generated_at: generated_at.to_owned(),
            status: Status::Undetermined,
            reason: Some(reason),
            coverage: Coverage::default(),
            unread: Vec::new(),
            listed_by: None,
            uses: 0,
            used_by: Vec::new(),
            platform: None,
            index: None,
            members: Vec::new(),
            members_left_out: 0,
        }
    }
}
