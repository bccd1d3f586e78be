//! The timestamp authority, and what compares its clock with others.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bulla_authority::ca;
use bulla_authority::tsa::{Clock, Settings, TimeSource, TimeSources, TimestampAuthority, watch};
use bulla_authority::{InForce, api};
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::Args;
use super::files::{Certified, Hierarchy, TSA};
use crate::command::Failure;

/// A timestamp authority that is served.
pub(super) struct Timestamps {
    authority: Arc<InForce<TimestampAuthority>>,
    settings: Settings,
    clock: Arc<Clock>,
    sources: Option<Arc<TimeSources>>,
}

/// How often the clock is compared.
const EVERY: Duration = Duration::from_mins(1);

impl Timestamps {
    pub(super) async fn open(
        args: &Args,
        hierarchy: &Hierarchy<'_>,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let policy = |option: &str, oid: &String| {
            oid.parse().map_err(|_| {
                Failure::usage(format!(
                    "{option} \"{oid}\" is no object identifier, such as 1.3.6.1.4.1.57264.2"
                ))
            })
        };
        let accepted = args.tsa_accept_policy.iter().map(|oid| policy("--tsa-accept-policy", oid));
        let settings = Settings {
            policy: policy("--tsa-policy", &args.tsa_policy)?,
            accepted_policies: accepted.collect::<Result<_, _>>()?,
            accuracy: args.tsa_accuracy,
            ..Settings::default()
        };
        let bound = args.tsa_time_bound;
        let sources = args.tsa_time_source.iter().map(|text| {
            text.parse::<TimeSource>().map_err(|error| Failure::usage(format!("--tsa-time-source: {error}")))
        });
        let sources: Vec<TimeSource> = sources.collect::<Result<_, _>>()?;
        let (clock, sources) = if sources.is_empty() {
            (Clock::local(bound), None)
        } else {
            let sources = TimeSources::new(sources, bound).map_err(Failure::usage)?;
            (Clock::checked(bound, EVERY), Some(Arc::new(sources)))
        };
        let clock = Arc::new(clock);
        let certified = hierarchy.open(&TSA, now).await?;
        let authority = authority(certified, settings.clone(), clock.clone())?;
        Ok(Self { authority: Arc::new(InForce::new(authority)), settings, clock, sources })
    }

    /// Signs with another key from now on.
    pub(super) fn turn_to(&self, certified: Certified) -> Result<(), Failure> {
        self.authority.replace(authority(certified, self.settings.clone(), self.clock.clone())?);
        Ok(())
    }

    pub(super) fn routes(&self) -> Router {
        api::tsa::routes(self.authority.clone())
    }

    /// Compares the clock as long as the task runs, if it is to be compared.
    pub(super) fn keep(&self, background: &mut JoinSet<()>) {
        if let Some(sources) = self.sources.clone() {
            let clock = self.clock.clone();
            background.spawn(async move { watch(&clock, &sources, EVERY).await });
        }
    }
}

fn authority(
    certified: Certified,
    settings: Settings,
    clock: Arc<Clock>,
) -> Result<TimestampAuthority, Failure> {
    let named = |problem: &dyn std::fmt::Display| Failure::usage(format!("timestamp authority: {problem}"));
    let chain = ca::certificates(&certified.chain).map_err(|problem| named(&problem))?;
    let authority = TimestampAuthority::new(&chain, certified.key, settings, clock);
    authority.map_err(|error| named(&error))
}
