//! The certificate transparency log: a second ledger, below `DIR/ct`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bulla_authority::api;
use bulla_authority::ct::{self, Clock, CtLog, Parts, origin, tree_head_signer};
use bulla_ledger::storage::file::{FileStorage, Format};
use bulla_ledger::{IndexAt, Log, Options};
use bulla_tlog::note::Verifier;

use super::Args;
use super::files::ct_key;
use crate::command::Failure;
use crate::home::{open_failure, read_format, unix_now};
use crate::service::running::start_failure;

/// Whoever watches a log alarms when its newest tree head is older than its maximum merge delay, mostly a day
/// (RFC 6962 §3.5).
const SIGNED_AGAIN_AFTER: Duration = Duration::from_hours(1);

/// A running log of certificates.
pub(super) struct CertificateLog {
    log: Log,
    door: Arc<ct::CertificateLog>,
    submissions: api::ct::Submissions,
}

impl CertificateLog {
    /// Opens the log below the data directory, which takes certificates that lead to these roots, DER. It keeps the name that it began
    /// under, wherever it is served later.
    pub(super) async fn open(
        data: &Path,
        args: &Args,
        url: &str,
        roots: Vec<Vec<u8>>,
    ) -> Result<Self, Failure> {
        let dir = &data.join("ct");
        let existing = read_format(dir)?;
        let key = Arc::new(ct_key(data, existing.is_none())?);
        let served_at = args.ct_url(url);
        let prefix = match &existing {
            Some(format) if format.origin != origin(&served_at) => {
                tracing::warn!(
                    name = format.origin,
                    at = served_at,
                    "the certificate transparency log keeps its name though it is served elsewhere now"
                );
                format!("https://{}", format.origin)
            }
            _ => served_at,
        };
        let prefix = prefix.as_str();
        let named = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("certificate transparency log {prefix}: {error}"))
        };
        let verifier = Verifier::of_tree_heads(origin(prefix), key.spki()).map_err(|error| named(&error))?;
        let created = existing.map_or_else(unix_now, |format| format.created);
        let format = Format::new(origin(prefix), verifier.log_id(), created);
        let storage = FileStorage::open(dir, &format).map_err(open_failure)?;
        let clock = Clock::system();
        let signer = tree_head_signer(prefix, key.clone(), clock.clone()).map_err(|error| named(&error))?;
        let mut options = Options::new(Arc::new(signer), verifier, IndexAt::Dir(dir.join("index")));
        options.metered_as = Some("ct");
        options.sign_again_after = Some(SIGNED_AGAIN_AFTER);
        let log = Log::start(Arc::new(storage), options).await.map_err(start_failure)?;
        let parts = Parts {
            log: log.clone(),
            key,
            clock,
            issuers: dir.join("issuers"),
            roots,
            submission_prefix: prefix.to_owned(),
        };
        let door = ct::CertificateLog::open(parts).map_err(|error| named(&error))?;
        Ok(Self { log, door: Arc::new(door), submissions: args.ct_submissions.into() })
    }

    /// It, for an authority in the same process.
    pub(super) fn log(&self) -> Arc<dyn CtLog> {
        self.door.clone()
    }

    pub(super) fn routes(&self) -> Router {
        api::ct::routes(self.door.clone(), self.submissions)
    }

    pub(super) async fn stop(&self) -> Result<(), Failure> {
        let stopped = self.log.stop().await;
        stopped.map_err(|error| {
            Failure::unavailable(format!("the certificate transparency log did not settle: {error}"))
        })
    }
}
