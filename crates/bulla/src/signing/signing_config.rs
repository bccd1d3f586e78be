//! The file that says where to sign, and which of the services in it are asked (sigstore protobuf-specs, `SigningConfig`).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// The file.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Config {
    pub(super) media_type: String,
    pub(super) ca_urls: Vec<Service>,
    pub(super) oidc_urls: Vec<Service>,
    pub(super) rekor_tlog_urls: Vec<Service>,
    pub(super) tsa_urls: Vec<Service>,
    #[serde(rename = "rekorTlogConfig")]
    pub(super) of_logs: Selection,
    #[serde(rename = "tsaConfig")]
    pub(super) of_tsas: Selection,
}

/// One place to ask.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    pub(super) url: String,
    pub(super) major_api_version: u32,
    #[serde(default)]
    pub(super) valid_for: Validity,
    #[serde(default)]
    pub(super) operator: String,
}

/// How many of those that are listed.
#[derive(Default, Deserialize)]
pub(super) struct Selection {
    #[serde(default)]
    pub(super) selector: String,
    #[serde(default)]
    pub(super) count: u32,
}

/// From when until when it may be asked, or its key is believed.
#[derive(Default, Deserialize)]
pub(super) struct Validity {
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
}

impl Config {
    /// Refuses what is of another type.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.media_type.is_empty() && self.media_type != SIGNING_CONFIG {
            return Err(format!("mediaType is {:?}, {SIGNING_CONFIG:?} was expected", self.media_type));
        }
        Ok(())
    }

    /// The timestamp authorities. None need be listed.
    pub(super) fn tsas(&self, now: Timestamp) -> Result<Vec<String>, String> {
        if self.tsa_urls.is_empty() {
            return Ok(Vec::new());
        }
        let services = self.of_tsas.select("tsaConfig", &self.tsa_urls, now, |version| version == 1)?;
        Ok(services.into_iter().map(|service| service.url.clone()).collect())
    }
}

impl Selection {
    /// Those of the highest version that has any, of each operator the one that began last; of these as many as are wanted.
    /// Where any will do it is the newest: the same when the command is said again.
    pub(super) fn select<'a>(
        &self,
        name: &str,
        list: &'a [Service],
        now: Timestamp,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Vec<&'a Service>, String> {
        let version = newest(list, now, wanted).map(|service| service.major_api_version);
        let mut operators: BTreeMap<&str, &Service> = BTreeMap::new();
        for service in list.iter().filter(|service| service.valid_for.holds(now)) {
            if Some(service.major_api_version) == version {
                let place = operators.entry(&service.operator).or_insert(service);
                if service.valid_for.start > place.valid_for.start {
                    *place = service;
                }
            }
        }
        let mut services: Vec<_> = operators.into_values().collect();
        services.sort_by_key(|service| Reverse(service.valid_for.start));
        let (len, count) = (services.len(), self.count as usize);
        let refused = |problem: String| Err(format!("{name} {problem}"));
        match self.selector.as_str() {
            "" | "ANY" | "SERVICE_SELECTOR_UNDEFINED" => services.truncate(1),
            "ALL" if len > MOST_SERVICES => {
                return refused(format!("wants ALL of {len}, at most {MOST_SERVICES} are asked"));
            }
            "ALL" => {}
            "EXACT" if (1..=len.min(MOST_SERVICES)).contains(&count) => services.truncate(count),
            "EXACT" => {
                return refused(format!("wants EXACT {count}, {len} are listed that can be asked now"));
            }
            other => return refused(format!("wants {other:?}, ANY, ALL or EXACT was expected")),
        }
        Ok(services)
    }
}

impl Validity {
    /// Whether it does then.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= now) && self.end.is_none_or(|end| now < end)
    }
}

/// The one of the highest version that is wanted, and of those the one that began last.
pub(super) fn newest(list: &[Service], now: Timestamp, wanted: impl Fn(u32) -> bool) -> Option<&Service> {
    let valid =
        list.iter().filter(|service| wanted(service.major_api_version) && service.valid_for.holds(now));
    valid.max_by_key(|service| (service.major_api_version, service.valid_for.start))
}

const SIGNING_CONFIG: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
/// For one signature.
const MOST_SERVICES: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(url: &str, version: u32, start: &str, end: Option<&str>) -> Service {
        let validity = json!({ "start": start, "end": end });
        let service = json!({ "url": url, "majorApiVersion": version, "validFor": validity });
        serde_json::from_value(service).expect("a service")
    }

    #[test]
    fn the_newest_version_is_chosen_and_of_it_the_latest() {
        let now = "2026-06-01T00:00:00Z".parse().expect("a time");
        let list = [
            service("one", 1, "2026-05-01T00:00:00Z", None),
            service("old", 2, "2026-01-01T00:00:00Z", None),
            service("new", 2, "2026-03-01T00:00:00Z", None),
            service("ended", 2, "2026-04-01T00:00:00Z", Some("2026-05-31T00:00:00Z")),
            service("begins", 2, "2026-07-01T00:00:00Z", None),
            service("unknown", 3, "2026-01-01T00:00:00Z", None),
        ];
        let chosen = |wanted: fn(u32) -> bool| newest(&list, now, wanted).map(|service| service.url.as_str());
        assert_eq!(chosen(|version| version < 3), Some("new"));
        assert_eq!(chosen(|version| version == 1), Some("one"));
        assert_eq!(chosen(|version| version == 7), None);
    }

    #[test]
    fn as_many_as_are_wanted_of_different_operators_are_chosen() {
        let now = "2026-06-01T00:00:00Z".parse().expect("a time");
        let by = |url: &str, version: u32, start: &str, operator: &str| Service {
            operator: operator.to_owned(),
            ..service(url, version, start, None)
        };
        let list = [
            by("a-old", 2, "2026-01-01T00:00:00Z", "a"),
            by("a-new", 2, "2026-02-01T00:00:00Z", "a"),
            by("b", 2, "2026-03-01T00:00:00Z", "b"),
            by("c-one", 1, "2026-04-01T00:00:00Z", "c"),
        ];
        let chosen = |selector: &str, count: u32| {
            let selection = Selection { selector: selector.to_owned(), count };
            let services = selection.select("rekorTlogConfig", &list, now, |version| version < 3)?;
            Ok::<_, String>(services.iter().map(|service| service.url.as_str()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(chosen("ANY", 0).expect("one"), "b");
        assert_eq!(chosen("", 0).expect("one"), "b");
        assert_eq!(chosen("ALL", 0).expect("two"), "b a-new");
        assert_eq!(chosen("EXACT", 1).expect("one"), "b");
        assert_eq!(chosen("EXACT", 2).expect("two"), "b a-new");
        for (selector, count, problem) in [
            ("EXACT", 3, "wants EXACT 3, 2 are listed that can be asked now"),
            ("EXACT", 0, "wants EXACT 0, 2 are listed that can be asked now"),
            ("SOME", 0, "wants \"SOME\", ANY, ALL or EXACT was expected"),
        ] {
            let error = chosen(selector, count).expect_err("is refused");
            assert_eq!(error, format!("rekorTlogConfig {problem}"));
        }
        let other: Config = serde_json::from_value(json!({ "mediaType": "text/plain" })).expect("JSON");
        assert!(other.check().expect_err("is refused").contains("mediaType is \"text/plain\""));
    }
}
