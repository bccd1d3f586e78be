//! The authorities of this stack as its trust files name them: their certificates and keys lie in the data directory, where they
//! are served is noted there by the server. Reads only public files, so the server may be running.
//!
//! ```text
//! DIR/authorities.json   where each authority is, as the server said last
//! DIR/ca/chain.pem       certificates of the certificate authority, issuing first, root last
//! DIR/ca/other/*.pem     chains that are believed beside it: retired ones, and one that is to follow
//! DIR/ca/other/*.ended   until when a chain of that name is believed; without it as long as its certificates last
//! DIR/ca/next/chain.pem  the chain that is to follow, see `staged`
//! DIR/ct/ct.pub          public key of the certificate transparency log; DIR/ct-2/ct.pub that of the one after it
//! DIR/tsa/chain.pem      certificates of the timestamp authority, signing first, root last
//! DIR/tsa/other/*.pem    as above
//! ```

use std::fs;
use std::io;
use std::path::Path;

use bulla_rekor::trust::{Authorities, Services, TrustError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::files::missing;
use super::{ct, staged};
use crate::command::Failure;
use crate::home;

/// Where each authority of a stack is; what is not there is not served.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Members {
    /// Base URL of the certificate authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
    /// Submission prefix of the certificate transparency log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ct: Option<String>,
    /// Whole URL of the timestamp authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tsa: Option<String>,
    /// Issuer of identity tokens for those who have no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oidc: Option<String>,
    /// Which of the first three are not served now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) idle: Vec<String>,
}

const FILE: &str = "authorities.json";

impl Members {
    /// Whether an authority was ever served from this directory.
    pub(crate) fn mentions(&self, role: &str) -> bool {
        match role {
            "ca" => self.ca.is_some(),
            "ct" => self.ct.is_some(),
            "tsa" => self.tsa.is_some(),
            _ => false,
        }
    }

    /// The same, with those of before that are not served now: what they signed is still to be believed.
    pub(crate) fn remembering(mut self, before: Self) -> Self {
        let now_served = [self.ca.is_some(), self.ct.is_some(), self.tsa.is_some()];
        self.ca = self.ca.or(before.ca);
        self.ct = self.ct.or(before.ct);
        self.tsa = self.tsa.or(before.tsa);
        let names = ["ca", "ct", "tsa"].into_iter().zip(now_served);
        self.idle = names.filter(|(_, served)| !served).map(|(name, _)| name.to_owned()).collect();
        self
    }

    fn serves(&self, role: &str) -> bool {
        !self.idle.iter().any(|idle| idle == role)
    }

    /// Those noted in a directory; none if nothing is.
    pub(crate) fn read(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(FILE);
        let failed = |problem: &dyn std::fmt::Display| {
            Failure::usage(format!("{}: {problem}: `bulla serve` writes it anew", path.display()))
        };
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| failed(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Notes them.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Failure> {
        // Four strings always serialize.
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        home::note(dir, FILE, &format!("{text}\n"))
    }

    /// Adds them to what the trust files say. `start` is when the log began to sign.
    pub(crate) fn add_to(
        &self,
        dir: &Path,
        start: Timestamp,
        authorities: &mut Authorities,
        services: &mut Services,
    ) -> Result<(), Failure> {
        if let Some(url) = &self.ca {
            for chain in staged::chains(&dir.join("ca"))? {
                let end = staged::end(&chain)?;
                add(&chain, |text| authorities.add_certificate_authority(text, url, end))?;
            }
            if self.serves("ca") {
                services.ca_urls.insert(0, url.clone());
            }
        }
        if let Some(url) = &self.ct {
            let logs = ct::Place::all(dir)?;
            if logs.is_empty() {
                return Err(missing(&dir.join("ct")));
            }
            for log in logs {
                let (url, start) = (log.url(url), log.start(start));
                add(&log.dir.join("ct.pub"), |text| authorities.add_ct_log(text, &url, start, log.ended))?;
            }
        }
        if let Some(url) = &self.tsa {
            for chain in staged::chains(&dir.join("tsa"))? {
                let end = staged::end(&chain)?;
                add(&chain, |text| authorities.add_timestamp_authority(text, url, end))?;
            }
            if self.serves("tsa") {
                services.tsa_urls.insert(0, url.clone());
            }
        }
        services.oidc_urls.splice(0..0, self.oidc.clone());
        Ok(())
    }
}

/// Hands the text of a file on; a failure names the file.
pub(crate) fn add(path: &Path, take: impl FnOnce(&str) -> Result<(), TrustError>) -> Result<(), Failure> {
    let failed = |problem: &dyn std::fmt::Display| Failure::usage(format!("{}: {problem}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    take(&text).map_err(|error| failed(&error))
}
