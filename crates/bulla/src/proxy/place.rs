//! Which image of which registry a path names. Clients name the registry in one of three ways: in the path before the image
//! (`/v2/ghcr.io/org/app/…`), beside it (`?ns=ghcr.io`, as containerd does), or not at all, where the proxy has one.

use http::Uri;
use url::form_urlencoded;

use super::refusal::Refusal;
use crate::registry::{Digest, Name, Repository};

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// Whether this is a registry.
    Ping,
    /// Something of an image.
    Of(Place),
}

/// An image's place, and what of it is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Where it is, in its one spelling.
    pub(crate) repository: Repository,
    /// What is asked for.
    pub(crate) what: What,
    /// The name by which the client knows the repository.
    pub(crate) client_name: String,
    /// The registry that the client named beside the path.
    pub(crate) ns: Option<String>,
    /// The query without that.
    pub(crate) query: Option<String>,
}

/// What of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A manifest, by tag or digest.
    Manifest(Name),
    /// A blob.
    Blob(Digest),
    /// The tags.
    Tags,
    /// What refers to a manifest.
    Referrers(Digest),
}

impl What {
    /// What comes after the repository's name in a path.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Manifest(name) => format!("manifests/{name}"),
            Self::Blob(digest) => format!("blobs/{digest}"),
            Self::Tags => "tags/list".to_owned(),
            Self::Referrers(digest) => format!("referrers/{digest}"),
        }
    }
}

/// The one registry of a proxy, or a part of it.
#[derive(Clone, Debug)]
pub(crate) struct Fixed(String);

impl Fixed {
    /// Reads `REGISTRY` or `REGISTRY/PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        // Whatever comes after it is a name below it.
        let whole = Repository::parse(&format!("{text}/a")).map_err(|error| error.to_string())?;
        let first = text.split('/').next().unwrap_or_default();
        if !first.contains(['.', ':', '[']) && first != "localhost" {
            return Err(format!("{text:?} names no registry, such as ghcr.io or docker.io, before a path"));
        }
        let host = whole.host().as_str();
        Ok(Self(match text.split_once('/') {
            Some((_, path)) => format!("{host}/{path}"),
            None => host.to_owned(),
        }))
    }

    /// The registry.
    pub(crate) fn host(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }
}

impl Asked {
    /// Reads a path below `/v2`.
    pub(crate) fn read(uri: &Uri, fixed: Option<&Fixed>) -> Result<Self, Refusal> {
        let path = uri.path();
        let Some(rest) = path.strip_prefix("/v2").filter(|rest| rest.is_empty() || rest.starts_with('/'))
        else {
            return Err(Refusal::Path(path.to_owned()));
        };
        let rest = rest.trim_start_matches('/');
        if rest.is_empty() {
            return Ok(Self::Ping);
        }
        if rest.len() > LONGEST || uri.query().is_some_and(|query| query.len() > LONGEST) {
            return Err(Refusal::Name(format!("the path or the query has more than {LONGEST} characters")));
        }
        let (client_name, what) = what(rest).ok_or_else(|| Refusal::Path(path.to_owned()))??;
        let (ns, query) = query(uri.query())?;
        let named = match (fixed, &ns) {
            (Some(fixed), Some(ns)) if !is_host_of(fixed, ns) => {
                return Err(Refusal::Elsewhere { asked: ns.clone(), served: fixed.0.clone() });
            }
            (Some(fixed), _) => format!("{}/{client_name}", fixed.0),
            (None, Some(ns)) => format!("{ns}/{client_name}"),
            (None, None) => client_name.to_owned(),
        };
        // Docker Hub's official images may be named without `library/` in all three.
        let repository = Repository::parse(&named).map_err(|error| Refusal::Name(error.to_string()))?;
        let client_name = client_name.to_owned();
        Ok(Self::Of(Place { repository, what, client_name, ns, query }))
    }
}

fn is_host_of(fixed: &Fixed, ns: &str) -> bool {
    Repository::parse(&format!("{ns}/a/b")).is_ok_and(|of| of.host().as_str() == fixed.host())
}

/// The repository's name, and what is asked of it.
type Split<'a> = Result<(&'a str, What), Refusal>;

fn what(rest: &str) -> Option<Split<'_>> {
    let (name, last) = rest.rsplit_once('/')?;
    let (name, kind) = name.rsplit_once('/')?;
    let digest = |text: &str| text.parse::<Digest>().map_err(|error| Refusal::Digest(error.to_string()));
    Some(match kind {
        "manifests" => match Name::parse(last) {
            Ok(reference) => Ok((name, What::Manifest(reference))),
            Err(problem) if last.contains(':') => Err(Refusal::Digest(problem)),
            Err(problem) => Err(Refusal::Tag(problem)),
        },
        "blobs" => digest(last).map(|digest| (name, What::Blob(digest))),
        "tags" if last == "list" => Ok((name, What::Tags)),
        "referrers" => digest(last).map(|digest| (name, What::Referrers(digest))),
        _ => return None,
    })
}

/// The registry in a query, and the rest of it as it is.
fn query(query: Option<&str>) -> Result<(Option<String>, Option<String>), Refusal> {
    let Some(query) = query else { return Ok((None, None)) };
    let is_ns = |part: &&str| *part == "ns" || part.starts_with("ns=");
    let named: Vec<_> = query.split('&').filter(is_ns).collect();
    let rest: Vec<_> = query.split('&').filter(|part| !is_ns(part)).collect();
    let ns = match named.as_slice() {
        [] => None,
        [one] => form_urlencoded::parse(one.as_bytes()).next().map(|(_, value)| value.into_owned()),
        _ => return Err(Refusal::Name("the query names more than one registry with ns".to_owned())),
    };
    if let Some(ns) = ns.as_ref().filter(|ns| ns.is_empty() || ns.contains('/')) {
        return Err(Refusal::Name(format!(
            "ns in the query is {ns:?}, a registry such as ghcr.io was expected"
        )));
    }
    // A name without a dot would be taken for a repository of Docker Hub's.
    let ns =
        ns.map(|ns| if ns.contains(['.', ':']) || ns == "localhost" { Ok(ns) } else { Err(ns) }).transpose();
    let ns = ns.map_err(|ns| {
        Refusal::Name(format!("ns in the query is {ns:?}, a registry with a domain or a port was expected"))
    })?;
    Ok((ns, Some(rest.join("&")).filter(|rest| !rest.is_empty())))
}

const LONGEST: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(uri: &str, fixed: Option<&str>) -> Result<Asked, String> {
        let fixed = fixed.map(|text| Fixed::parse(text).expect("a registry"));
        Asked::read(&uri.parse().expect("a URI"), fixed.as_ref()).map_err(|refusal| refusal.to_string())
    }

    fn repository(uri: &str, fixed: Option<&str>) -> String {
        match asked(uri, fixed) {
            Ok(Asked::Of(place)) => place.repository.to_string(),
            other => panic!("{uri}: {other:?}"),
        }
    }

    #[test]
    fn one_image_has_one_name_however_it_is_asked_for() {
        for (uri, fixed) in [
            ("/v2/alpine/manifests/3.20", None),
            ("/v2/library/alpine/manifests/3.20", None),
            ("/v2/docker.io/alpine/manifests/3.20", None),
            ("/v2/index.docker.io/library/alpine/manifests/3.20", None),
            ("/v2/registry-1.docker.io/library/alpine/manifests/3.20", None),
            ("/v2/alpine/manifests/3.20?ns=docker.io", None),
            ("/v2/library/alpine/manifests/3.20?ns=registry-1.docker.io", None),
            ("/v2/alpine/manifests/3.20", Some("docker.io")),
            ("/v2/library/alpine/manifests/3.20?ns=index.docker.io", Some("docker.io")),
            ("/v2/alpine/manifests/3.20", Some("index.docker.io/library/")),
        ] {
            assert_eq!(repository(uri, fixed), "docker.io/library/alpine", "{uri} {fixed:?}");
        }
        assert_eq!(repository("/v2/ghcr.io/org/app/tags/list", None), "ghcr.io/org/app");
        assert_eq!(repository("/v2/org/app/tags/list?ns=GHCR.io", None), "ghcr.io/org/app");
        assert_eq!(repository("/v2/app/tags/list", Some("localhost:5000/team")), "localhost:5000/team/app");
        assert_eq!(repository("/v2/manifests/manifests/tags/list", None), "docker.io/manifests/manifests");
    }

    #[test]
    fn queries_are_kept_without_what_is_ours() {
        let Ok(Asked::Of(place)) = asked("/v2/org/app/tags/list?n=5&ns=ghcr.io&last=a%20b", None) else {
            panic!("it is a place")
        };
        assert_eq!((place.query.as_deref(), place.ns.as_deref()), (Some("n=5&last=a%20b"), Some("ghcr.io")));
        assert_eq!(place.client_name, "org/app");
    }

    #[test]
    fn what_is_none_is_refused_with_the_fix() {
        assert_eq!(asked("/v2", None), Ok(Asked::Ping));
        assert_eq!(asked("/v2/", None), Ok(Asked::Ping));
        for (uri, problem) in [
            ("/v2x", "path /v2x is none of a registry's"),
            ("/v2/_catalog", "path /v2/_catalog is none of a registry's"),
            ("/v2/foo", "path /v2/foo is none of a registry's"),
            ("/v2/a/blobs/uploads/", "path /v2/a/blobs/uploads/ is none of a registry's"),
            (
                "/v2/A/tags/list",
                "image \"A\": the name of the repository has 'A' in \"A\", names of repositories are lower case",
            ),
            ("/v2/a/manifests/.x", "the tag \".x\" begins with a dot or hyphen"),
            ("/v2/a/manifests/sha256:00", "digest has 2 characters after sha256:, sha256 needs 64"),
            ("/v2/a/blobs/x", "digest has no colon, sha256:HEX was expected"),
            ("/v2/a/tags/list?ns=a&ns=b", "the query names more than one registry with ns"),
            ("/v2/a/tags/list?ns=", "ns in the query is \"\", a registry such as ghcr.io was expected"),
            (
                "/v2/a/tags/list?ns=ghcr",
                "ns in the query is \"ghcr\", a registry with a domain or a port was expected",
            ),
            ("/v2/..%2f/tags/list", "image \"..%2f\": the name of the repository has '%' in \"..%2f\""),
        ] {
            assert_eq!(asked(uri, None), Err(problem.to_owned()), "{uri}");
        }
        assert_eq!(
            asked("/v2/a/tags/list?ns=quay.io", Some("ghcr.io/org")),
            Err("this proxy serves ghcr.io/org, quay.io was asked for".to_owned())
        );
        let long = format!("/v2/{}/tags/list", "a".repeat(LONGEST));
        assert_eq!(asked(&long, None), Err("the path or the query has more than 2048 characters".to_owned()));
        for text in ["", "org", "org/app", "a b.example", "ghcr.io/A"] {
            assert!(Fixed::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_to_an_end(path in "/v2/[!-~&&[^?#]]{0,60}(\\?[!-~&&[^#]]{0,30})?") {
            if let Ok(uri) = path.parse() {
                let _any = Asked::read(&uri, None);
            }
        }
    }
}
